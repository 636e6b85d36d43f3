//! Tokens as text, close to what rustfmt writes in one line.

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};

/// Renders tokens in one line.
pub(crate) fn render(tokens: impl IntoIterator<Item = TokenTree>) -> String {
    let mut words = Vec::new();
    flatten(tokens, &mut words);
    let mut text = String::new();
    let mut last = String::new();
    for (index, word) in words.iter().enumerate() {
        let next = words.get(index + 1).map_or("", String::as_str);
        if word == "," && matches!(next, ")" | "]" | ">" | "}") {
            continue;
        }
        if !text.is_empty() && is_apart(&last, word) {
            text.push(' ');
        }
        text.push_str(word);
        last.clone_from(word);
    }
    text
}

/// Words and signs, with those put together that are one: `::`, `->`, `'a`.
fn flatten(tokens: impl IntoIterator<Item = TokenTree>, words: &mut Vec<String>) {
    let mut joint = String::new();
    for token in tokens {
        match token {
            TokenTree::Punct(punct) => {
                joint.push(punct.as_char());
                let goes_on = punct.spacing() == Spacing::Joint;
                if !goes_on || !matches!(punct.as_char(), ':' | '-' | '=' | '.' | '\'') {
                    words.push(std::mem::take(&mut joint));
                }
            }
            TokenTree::Ident(word) => words.push(std::mem::take(&mut joint) + &word.to_string()),
            TokenTree::Literal(literal) => words.push(literal.to_string()),
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::None => ("", ""),
                };
                words.push(open.to_owned());
                flatten(group.stream(), words);
                words.push(close.to_owned());
            }
        }
    }
}

fn is_apart(last: &str, next: &str) -> bool {
    let is_word = |text: &str| text.starts_with(|c: char| c.is_alphanumeric() || c == '_');
    match (last, next) {
        ("(" | "[" | "<" | "&" | "::" | "." | "$" | "#" | "!" | "?", _) => {
            last == "!" && next == "{"
        }
        (_, ")" | "]" | ">" | "," | ";" | ":" | "::" | "." | "?") => false,
        (_, "(" | "[" | "<" | "!") => !is_word(last) && last != ">" && last != "!",
        _ => true,
    }
}

/// Drops documents, the texts of errors, and the bodies of functions.
pub(crate) fn without_bodies(tokens: TokenStream) -> TokenStream {
    let mut kept: Vec<TokenTree> = Vec::new();
    let mut in_function = false;
    let tokens: Vec<_> = tokens.into_iter().collect();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        at += 1;
        match token {
            TokenTree::Punct(punct) if punct.as_char() == '#' => {
                let document = match tokens.get(at) {
                    Some(TokenTree::Group(group)) => {
                        let first = group.stream().into_iter().next();
                        matches!(first, Some(TokenTree::Ident(word)) if word == "doc" || word == "error")
                    }
                    _ => false,
                };
                if document {
                    at += 1;
                    continue;
                }
                kept.push(token.clone());
            }
            TokenTree::Ident(word) => {
                in_function |= word == "fn";
                kept.push(token.clone());
            }
            TokenTree::Group(group) if in_function && group.delimiter() == Delimiter::Brace => {
                in_function = false;
            }
            TokenTree::Group(group) => {
                let inner = without_bodies(group.stream());
                kept.push(proc_macro2::Group::new(group.delimiter(), inner).into());
            }
            TokenTree::Punct(punct) => {
                in_function &= punct.as_char() != ';';
                kept.push(token.clone());
            }
            TokenTree::Literal(_) => kept.push(token.clone()),
        }
    }
    kept.into_iter().collect()
}

#[test]
fn signatures_look_as_they_are_written() {
    let text = "pub fn send<'a, T: Into<Bytes>>(&'a self, to: &[Identity], f: impl Fn(u8) -> T,) -> Result<(), E>";
    let tokens: TokenStream = text.parse().unwrap();
    assert_eq!(render(tokens), text.replace(",)", ")"));
}

#[test]
fn bodies_and_documents_are_dropped() {
    let tokens: TokenStream = "/// Doc.\n#[must_use] pub fn a() { b() } struct C { d: u8 }"
        .parse()
        .unwrap();
    assert_eq!(
        render(without_bodies(tokens)),
        "#[must_use] pub fn a() struct C { d: u8 }"
    );
}
