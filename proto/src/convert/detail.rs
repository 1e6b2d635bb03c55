//! Bounds texts of workers that go into the replicated log.

/// Maximum length of such a text.
pub(super) const DETAIL_BYTES_MAX: usize = 1_024;

/// Cuts the text at the bound.
pub(super) fn clip(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(DETAIL_BYTES_MAX));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_start_error_is_cut_at_a_character() {
        let detail = "ä".repeat(DETAIL_BYTES_MAX);
        let clipped = clip(format!("x{detail}"));
        assert_eq!(clipped.len(), DETAIL_BYTES_MAX - 1);
    }
}
