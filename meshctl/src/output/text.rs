//! Running text: lines of a width, and the commands that stand between back ticks in it. Pure.

/// Breaks at blanks so that no line is longer than `width` characters, unless a single word is. A number keeps its `%`.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut words: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match words.last_mut() {
            Some(number) if word.starts_with('%') => number.extend([" ", word]),
            _ => words.push(word.to_owned()),
        }
    }
    for word in words {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(&word);
            }
            _ => lines.push(word),
        }
    }
    lines
}

/// What stands between back ticks.
pub(crate) fn code_spans(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_as_long_as_they_may_be_and_words_stay_whole() {
        assert_eq!(wrap("aa bb  cc\ndd", 5), ["aa bb", "cc dd"]);
        assert_eq!(wrap("a loooong b", 4), ["a", "loooong", "b"]);
        assert_eq!(wrap(" ", 4), [""; 0]);
        assert_eq!(wrap("up to 10 %, or 5 %", 7), ["up to", "10 %,", "or 5 %"]);
    }

    #[test]
    fn code_spans_are_what_stands_between_back_ticks() {
        assert_eq!(code_spans("see `a b` and `c`.").collect::<Vec<_>>(), ["a b", "c"]);
        assert_eq!(code_spans("none").count(), 0);
    }
}
