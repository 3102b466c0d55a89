//! Verdicts, each as a row that somebody could write; and arbitrary policies against a naive oracle.
