//! Rust source as code only: without what comments and strings say; and the words of its identifiers.
//!
//! Refuses to parse: it knows where comments, strings and characters begin and end, no more.

/// The lines of `text` with comments, strings and characters blanked.
pub(super) fn code_lines(text: &str) -> Vec<String> {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = skipped_length(rest, code.ends_with(is_of_identifier));
        let (part, after) = rest.split_at(if length == 0 { first.len_utf8() } else { length });
        if length == 0 {
            code.push(first);
        } else {
            // Lines keep their numbers.
            code.push(' ');
            code.extend(part.chars().filter(|&c| c == '\n'));
        }
        rest = after;
    }
    code.lines().map(str::to_owned).collect()
}

/// The words of a line's identifiers in lower case: `real`, `server` for `real_server` and for `RealServer`.
pub(super) fn words(line: &str) -> impl Iterator<Item = String> {
    line.split(|c: char| !c.is_alphanumeric()).flat_map(camel_words)
}

/// How many bytes of `text` from its start are comment, string or character; 0 if it starts with code.
fn skipped_length(text: &str, after_identifier: bool) -> usize {
    if text.starts_with("//") {
        return text.find('\n').unwrap_or(text.len());
    }
    if text.starts_with("/*") {
        return block_comment_length(text);
    }
    if text.starts_with('"') {
        return quoted_length(text, '"');
    }
    if !after_identifier && let Some(length) = raw_string_length(text) {
        return length;
    }
    // A lifetime has no closing quote right behind.
    let mut next = text.char_indices().skip(1).map(|(_, c)| c);
    match (text.starts_with('\''), next.next(), next.next()) {
        (true, Some('\\'), _) | (true, Some(_), Some('\'')) => quoted_length(text, '\''),
        _ => 0,
    }
}

fn quoted_length(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (index, character) in text.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if character == quote => return index + 1,
            _ => {}
        }
    }
    text.len()
}

fn raw_string_length(text: &str) -> Option<usize> {
    let prefix = ["br", "cr", "r"].into_iter().find(|prefix| text.starts_with(prefix))?;
    let hashes = text[prefix.len()..].bytes().take_while(|&byte| byte == b'#').count();
    let body = text[prefix.len() + hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let length = body.find(&end).map_or(body.len(), |index| index + end.len());
    Some(prefix.len() + hashes + 1 + length)
}

/// Block comments nest.
fn block_comment_length(text: &str) -> usize {
    let mut depth = 0;
    let mut index = 0;
    while index < text.len() {
        let rest = &text.as_bytes()[index..];
        if rest.starts_with(b"/*") {
            depth += 1;
            index += 2;
        } else if rest.starts_with(b"*/") {
            depth -= 1;
            index += 2;
            if depth == 0 {
                return index;
            }
        } else {
            index += 1;
        }
    }
    text.len()
}

fn camel_words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut after_lower_case = true;
    for character in name.chars() {
        match words.last_mut() {
            Some(word) if !(character.is_uppercase() && after_lower_case) => {
                word.extend(character.to_lowercase());
            }
            _ => words.push(character.to_lowercase().collect()),
        }
        after_lower_case = !character.is_uppercase();
    }
    words
}

fn is_of_identifier(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::{code_lines, words};

    #[test]
    fn comments_and_strings_are_blanked_and_lines_keep_their_numbers() {
        let text =
            "let a = \"vip \\\" vip\"; // vip\n/* vip /* vip */\nvip */ b\nlet c = r#\"vip\" \nvip\"#; d\n";
        let code = code_lines(text);
        assert_eq!(code.len(), 5);
        assert!(!code.concat().contains("vip"), "{code:?}");
        assert!(code[2].contains('b') && code[4].contains('d'), "{code:?}");
    }

    #[test]
    fn lifetimes_and_characters_are_told_apart() {
        let code = code_lines("fn a<'vip>(b: &'vip str) -> char { '\"' }\nlet c = '\\''; vip");
        assert!(code[0].contains("'vip>") && code[0].ends_with('}'), "{code:?}");
        assert!(code[1].ends_with("vip"), "{code:?}");
    }

    #[test]
    fn identifiers_fall_into_words() {
        let found: Vec<String> = words("RealServer::real_server VIP_PORT").collect();
        assert_eq!(found, ["real", "server", "real", "server", "vip", "port"]);
    }
}
