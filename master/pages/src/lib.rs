//! Pages that a master serves as they are: the dashboard. They are part of the program and need no file
//! beside it.

/// File that is served as it is.
#[derive(Clone, Copy)]
pub struct Page {
    /// Path at which it is served.
    pub path: &'static str,
    /// Value of its `Content-Type`.
    pub media_type: &'static str,
    /// Digest of its bytes, in hexadecimal digits.
    pub tag: &'static str,
    /// Bytes of the file.
    pub bytes: &'static [u8],
    /// The same compressed with gzip, if that is smaller.
    pub gzip: Option<&'static [u8]>,
}

impl Page {
    /// Returns true if its name changes with its bytes, so that a copy of it never becomes stale.
    #[must_use]
    pub fn is_immutable(&self) -> bool {
        self.path.starts_with(ASSETS)
    }
}

impl std::fmt::Debug for Page {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Page").field("path", &self.path).field("tag", &self.tag).finish()
    }
}

/// Beginning of the paths of files whose names change with their bytes.
pub const ASSETS: &str = "/assets/";

/// All pages, by their paths.
static PAGES: &[Page] = include!(concat!(env!("OUT_DIR"), "/pages.rs"));

/// Returns all pages, in the order of their paths.
#[must_use]
pub const fn all() -> &'static [Page] {
    PAGES
}

/// Returns the page at a path.
#[must_use]
pub fn at(path: &str) -> Option<&'static Page> {
    let position = PAGES.binary_search_by(|page| page.path.cmp(path)).ok()?;
    PAGES.get(position)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_is_found_at_its_path() {
        for page in all() {
            assert_eq!(at(page.path).map(|found| found.tag), Some(page.tag), "{page:?}");
            assert!(page.gzip.is_none_or(|gzip| gzip.len() < page.bytes.len()), "{page:?}");
        }
        assert_eq!(at("/").map(|page| page.media_type), Some("text/html; charset=utf-8"));
        assert!(at("/index.html").is_none() && at("").is_none());
    }
}
