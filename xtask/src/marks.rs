//! Documents that a program writes a part of: what stands between two marks, each a line of its own.

use anyhow::{Context, Result};

/// The first mark and the last.
pub type Marks = (&'static str, &'static str);

/// The document with this text between the marks.
pub fn replaced(document: &str, marks: Marks, text: &str) -> Result<String> {
    let found =
        document.split_once(marks.0).and_then(|(before, rest)| Some((before, rest.split_once(marks.1)?.1)));
    let (before, after) = found.with_context(|| format!("the document lacks the lines {marks:?}"))?;
    Ok(format!("{before}{}\n\n{text}\n{}{after}", marks.0, marks.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_between_the_marks_and_nowhere_else() {
        let marks = ("<!-- begin -->", "<!-- end -->");
        let document = "before\n<!-- begin -->\nold\n<!-- end -->\nafter\n";
        let expected = "before\n<!-- begin -->\n\nnew\n<!-- end -->\nafter\n";
        assert_eq!(replaced(document, marks, "new").expect("both marks"), expected);
        assert!(replaced("no marks", marks, "new").is_err());
    }
}
