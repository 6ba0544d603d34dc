//! A Rust source file as the rules see it: its lines, the same lines without comments and literals, and which
//! of them are tests.

/// One file, with its path from the project's folder.
#[derive(Debug)]
pub struct Source {
    pub path: String,
    pub lines: Vec<Line>,
}

/// One line of a file.
#[derive(Debug)]
pub struct Line {
    /// From 1.
    pub number: usize,
    /// As it stands.
    pub text: String,
    /// With comments and the inside of literals replaced by blanks.
    pub code: String,
    /// It belongs to a test module or a test file.
    pub test: bool,
}

impl Line {
    /// The comment at the line's end, with its slashes; none for what only looks like one inside of a string.
    pub fn comment(&self) -> Option<&str> {
        self.text
            .match_indices("//")
            .find_map(|(at, _)| self.code[at..].trim().is_empty().then(|| &self.text[at..]))
    }
}

impl Source {
    pub fn new(path: impl Into<String>, text: &str) -> Self {
        let path = path.into();
        let blank = without_comments_and_literals(text);
        let test_file = is_test_file(&path);
        let mut lines: Vec<Line> = text
            .lines()
            .zip(blank.lines())
            .enumerate()
            .map(|(at, (text, code))| Line {
                number: at + 1,
                text: text.to_owned(),
                code: code.to_owned(),
                test: test_file,
            })
            .collect();
        mark_test_modules(&mut lines);
        Self { path, lines }
    }

    /// The lines that are not tests.
    pub fn product(&self) -> impl Iterator<Item = &Line> {
        self.lines.iter().filter(|line| !line.test)
    }

    /// Whether the line at `index`, or one of the `above` lines before it, says `remark`.
    pub fn remarked(&self, index: usize, above: usize, remark: &str) -> bool {
        self.lines[index.saturating_sub(above)..=index].iter().any(|line| line.text.contains(remark))
    }
}

fn is_test_file(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/") || path.contains("/benches/")
}

/// Marks as tests the files of modules that others declare as `#[cfg(test)] mod name;`.
pub fn mark_test_files(sources: &mut [Source]) {
    let declared: Vec<String> = sources.iter().flat_map(test_modules).collect();
    for source in sources {
        let path = source.path.trim_end_matches(".rs").trim_end_matches("/mod");
        let inside = |module: &String| path == module || path.starts_with(&format!("{module}/"));
        if declared.iter().any(inside) {
            source.lines.iter_mut().for_each(|line| line.test = true);
        }
    }
}

/// The paths, without `.rs`, of the modules that a file declares for tests only.
fn test_modules(source: &Source) -> Vec<String> {
    let (folder, file) = source.path.rsplit_once('/').unwrap_or(("", &source.path));
    let folder = match file {
        "mod.rs" | "lib.rs" | "main.rs" => folder.to_owned(),
        other => format!("{folder}/{}", other.trim_end_matches(".rs")),
    };
    let declarations = source.lines.iter().filter(|line| line.test).filter_map(|line| {
        let code = line.code.trim().strip_suffix(';')?;
        code.rsplit_once("mod ").map(|(_, name)| format!("{folder}/{name}"))
    });
    declarations.collect()
}

/// Marks each `#[cfg(test)] mod name { ... }` up to its closing brace.
fn mark_test_modules(lines: &mut [Line]) {
    let mut at = 0;
    while at < lines.len() {
        if !lines[at].code.trim_start().starts_with("#[cfg(test)]") {
            at += 1;
            continue;
        }
        let end = end_of_item(&lines[at..]).map_or(lines.len() - 1, |length| at + length);
        for line in &mut lines[at..=end] {
            line.test = true;
        }
        at = end + 1;
    }
}

/// How many lines after the first the item ends: at its closing brace, or at a semicolon outside of braces.
fn end_of_item(lines: &[Line]) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, line) in lines.iter().enumerate() {
        for character in line.code.chars() {
            match character {
                '{' => depth += 1,
                '}' if depth <= 1 => return Some(at),
                '}' => depth -= 1,
                ';' if depth == 0 => return Some(at),
                _ => {}
            }
        }
    }
    None
}

/// The same text, line for line and byte for byte in length, in which comments and the inside of strings and
/// characters are blanks.
fn without_comments_and_literals(text: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < characters.len() {
        let end = skipped_until(&characters, at);
        if end == at {
            out.push(characters[at]);
            at += 1;
        } else {
            for character in &characters[at..end] {
                // As many bytes as before, so that places in the two texts are the same.
                match character {
                    '\n' => out.push('\n'),
                    other => out.extend(std::iter::repeat_n(' ', other.len_utf8())),
                }
            }
            at = end;
        }
    }
    out
}

/// Where the comment or literal that starts at `at` ends; `at` itself if none starts there.
fn skipped_until(text: &[char], at: usize) -> usize {
    let next = text.get(at + 1).copied();
    match text[at] {
        '/' if next == Some('/') => find(text, at, |rest| rest[0] == '\n').unwrap_or(text.len()),
        '/' if next == Some('*') => end_of_block_comment(text, at),
        '"' => end_of_quoted(text, at, '"'),
        '\'' if next == Some('\\') || text.get(at + 2) == Some(&'\'') => end_of_quoted(text, at, '\''),
        'r' if !follows_word(text, at) => end_of_raw_string(text, at).unwrap_or(at),
        _ => at,
    }
}

fn follows_word(text: &[char], at: usize) -> bool {
    // The prefixes `br` and `cr` belong to the literal, not to a word.
    let before =
        |back: usize| at.checked_sub(back).map(|at| text[at]).filter(|c| c.is_alphanumeric() || *c == '_');
    match before(1) {
        Some('b' | 'c') => before(2).is_some(),
        other => other.is_some(),
    }
}

fn find(text: &[char], from: usize, matches: impl Fn(&[char]) -> bool) -> Option<usize> {
    (from..text.len()).find(|&at| matches(&text[at..]))
}

fn end_of_block_comment(text: &[char], start: usize) -> usize {
    let mut depth = 0;
    let mut at = start;
    while at < text.len() {
        match (text[at], text.get(at + 1)) {
            ('/', Some('*')) => (depth, at) = (depth + 1, at + 2),
            ('*', Some('/')) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at.min(text.len())
}

fn end_of_quoted(text: &[char], start: usize, quote: char) -> usize {
    let mut at = start + 1;
    while at < text.len() && text[at] != quote {
        at += if text[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(text.len())
}

fn end_of_raw_string(text: &[char], start: usize) -> Option<usize> {
    let hashes = text[start + 1..].iter().take_while(|&&character| character == '#').count();
    let open = start + 1 + hashes;
    if text.get(open) != Some(&'"') {
        return None;
    }
    let closes = |rest: &[char]| {
        rest[0] == '"' && rest.len() > hashes && rest[1..=hashes].iter().all(|&character| character == '#')
    };
    Some(find(text, open + 1, closes).map_or(text.len(), |at| at + 1 + hashes))
}

/// Whether `code` holds `word` with no letter, digit or underscore beside it.
pub fn has_word(code: &str, word: &str) -> bool {
    let in_word = |character: char| character.is_alphanumeric() || character == '_';
    code.match_indices(word).any(|(at, _)| {
        !code[..at].chars().next_back().is_some_and(in_word)
            && !code[at + word.len()..].chars().next().is_some_and(in_word)
    })
}

/// The identifiers in `code`.
pub fn identifiers(code: &str) -> impl Iterator<Item = &str> {
    code.split(|character: char| !(character.is_alphanumeric() || character == '_'))
        .filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> String {
        without_comments_and_literals(text)
    }

    #[test]
    fn blanks_comments_and_keeps_columns() {
        assert_eq!(code("a // b\nc /* d /* e */ f */ g"), "a     \nc                   g");
    }

    #[test]
    fn blanks_strings_of_every_kind() {
        assert_eq!(code(r#"x("a\"b") y"#), "x(      ) y");
        assert_eq!(code("r#\"a\"b\"# y"), "         y");
        assert_eq!(code("br\"ab\" y"), "b      y");
        assert_eq!(code("'a' '\\'' b'\"' y"), "         b    y");
    }

    #[test]
    fn keeps_lifetimes_and_words_that_end_in_r() {
        assert_eq!(
            code("fn f<'a>(x: &'a str) { for r in var {} }"),
            "fn f<'a>(x: &'a str) { for r in var {} }"
        );
    }

    #[test]
    fn marks_test_modules_to_their_closing_brace() {
        let source =
            Source::new("src/a.rs", "fn a() {}\n#[cfg(test)]\nmod tests {\n  fn b() {}\n}\nfn c() {}\n");
        let tests: Vec<bool> = source.lines.iter().map(|line| line.test).collect();
        assert_eq!(tests, [false, true, true, true, true, false]);
    }

    #[test]
    fn a_test_module_in_its_own_file_ends_at_the_semicolon() {
        let source = Source::new("src/a.rs", "#[cfg(test)]\nmod tests;\nfn a() {}\n");
        assert!(!source.lines[2].test);
        assert!(Source::new("crates/x/src/a/tests.rs", "fn a() {}").lines[0].test);
    }

    #[test]
    fn a_module_that_is_declared_for_tests_is_tests_in_its_own_file() {
        let mut sources = [
            Source::new("src/dialect/mod.rs", "#[cfg(test)]\nmod transcript;\nmod wire;\n"),
            Source::new("src/dialect/transcript.rs", "fn a() {}"),
            Source::new("src/dialect/transcript/reader.rs", "fn a() {}"),
            Source::new("src/dialect/wire.rs", "#[cfg(test)]\nmod frames;\n"),
            Source::new("src/dialect/wire/frames.rs", "fn a() {}"),
        ];
        mark_test_files(&mut sources);
        let tests: Vec<bool> = sources.iter().map(|source| source.lines[0].test).collect();
        assert_eq!(tests, [true, true, true, true, true]);
        assert!(!sources[0].lines[2].test, "a module that is declared without a condition is none");
    }

    #[test]
    fn tells_a_comment_from_a_string_that_looks_like_one() {
        let source = Source::new("src/a.rs", "let é = \"//é\"; // why\nf(\"// no\");\n");
        assert_eq!(source.lines[0].comment(), Some("// why"));
        assert_eq!(source.lines[1].comment(), None);
    }

    #[test]
    fn words_have_bounds() {
        assert!(has_word("use mio::Poll;", "mio"));
        assert!(!has_word("use miodine;", "mio") && !has_word("a_mio", "mio"));
    }
}
