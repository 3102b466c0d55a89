//! Facts about a whole CA.
