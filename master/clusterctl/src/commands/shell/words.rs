//! Splits a line into words like a shell: at blanks, with quotes and backslashes. Pure.

/// Reason that a line cannot be split into words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum SplitError {
    /// A quote is not closed.
    #[error("a quote ({0}) is not closed")]
    OpenQuote(char),
    /// A backslash is at the end.
    #[error("nothing follows the last backslash")]
    OpenEscape,
}

/// Returns the words of a line. There is no expansion of any kind.
pub(super) fn split(line: &str) -> Result<Vec<String>, SplitError> {
    let mut words = Vec::new();
    let mut word = None::<String>;
    let mut rest = line.chars();
    while let Some(letter) = rest.next() {
        match letter {
            letter if letter.is_whitespace() => words.extend(word.take()),
            '\'' | '"' => quoted(letter, &mut rest, word.get_or_insert_default())?,
            '\\' => {
                let kept = rest.next().ok_or(SplitError::OpenEscape)?;
                word.get_or_insert_default().push(kept);
            }
            letter => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    Ok(words)
}

/// Reads up to the closing quote; a backslash counts in double quotes only.
fn quoted(
    quote: char,
    rest: &mut impl Iterator<Item = char>,
    word: &mut String,
) -> Result<(), SplitError> {
    while let Some(letter) = rest.next() {
        if letter == quote {
            return Ok(());
        }
        let is_escape = letter == '\\' && quote == '"';
        let kept = if is_escape { rest.next() } else { Some(letter) };
        word.push(kept.ok_or(SplitError::OpenQuote(quote))?);
    }
    Err(SplitError::OpenQuote(quote))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_separated_by_blanks_and_kept_together_by_quotes() {
        let words = split("  task submit\t-- sh -c 'echo \"a b\"' \"c\\\"d\" e\\ f '' ").unwrap();
        let expected = ["task", "submit", "--", "sh", "-c", "echo \"a b\"", "c\"d", "e f", ""];
        assert_eq!(words, expected);
        assert_eq!(split(" ").unwrap(), [""; 0]);
    }

    #[test]
    fn what_is_left_open_is_named() {
        assert_eq!(split("a 'b"), Err(SplitError::OpenQuote('\'')));
        assert_eq!(split("a \"b\\"), Err(SplitError::OpenQuote('"')));
        assert_eq!(split("a\\"), Err(SplitError::OpenEscape));
    }
}
