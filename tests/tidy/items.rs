//! The items of one file, as far as others can see them.

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

use super::render::{render, without_bodies};
use super::scan::{attribute, is_punct, is_test_only};

/// One item of a module.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) kind: Kind,
    pub(crate) public: bool,
    pub(crate) name: String,
    /// Attributes that others notice, and the signature.
    pub(crate) head: String,
    /// Fields, variants, and what a trait or an `impl` has.
    pub(crate) inner: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A type, a function, a trait, a constant.
    Named,
    /// An `impl`; its name is the type's.
    Methods,
    /// An `impl` of a trait; its name is the type's.
    Trait,
    /// A macro that makes items.
    Macro,
}

/// Reads the items of a file or of a module in braces.
pub(crate) fn items(tokens: TokenStream) -> Vec<Item> {
    let tokens: Vec<_> = tokens.into_iter().collect();
    let mut items = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let (end, attributes, test) = item_end(&tokens, at);
        let start = at;
        at = end;
        if test || attributes.contains("doc(hidden)") {
            continue;
        }
        let body: Vec<_> = without_attributes(&tokens[start..end]);
        items.extend(item(&body, &attributes));
    }
    items
}

/// Where the item that begins at `at` ends, the attributes that it shows, and whether it is a test.
fn item_end(tokens: &[TokenTree], mut at: usize) -> (usize, String, bool) {
    let mut shown = String::new();
    let mut test = false;
    while let Some((group, next)) = attribute(tokens, at) {
        test |= is_test_only(group);
        let text = render(group.stream());
        let names = [
            "cfg(",
            "derive(",
            "non_exhaustive",
            "deprecated",
            "macro_export",
            "must_use",
            "doc(hidden)",
        ];
        if names.iter().any(|name| text.starts_with(name)) {
            shown += &format!("#[{text}] ");
        }
        at = next;
    }
    let mut to_semicolon = None;
    while let Some(token) = tokens.get(at) {
        at += 1;
        match token {
            TokenTree::Ident(word) if to_semicolon.is_none() && word != "pub" => {
                let next = tokens.get(at).map(ToString::to_string).unwrap_or_default();
                let assigns = matches!(
                    word.to_string().as_str(),
                    "use" | "const" | "static" | "type"
                );
                to_semicolon = Some(assigns && !matches!(&next[..], "fn" | "unsafe" | "async"));
            }
            TokenTree::Punct(punct) if punct.as_char() == ';' => break,
            TokenTree::Group(group)
                if group.delimiter() == Delimiter::Brace && to_semicolon != Some(true) =>
            {
                break;
            }
            _ => {}
        }
    }
    (at, shown, test)
}

/// An item without the attributes before it.
fn without_attributes(tokens: &[TokenTree]) -> Vec<TokenTree> {
    let mut at = 0;
    while let Some((_, next)) = attribute(tokens, at) {
        at = next;
    }
    tokens[at..].to_vec()
}

fn item(tokens: &[TokenTree], attributes: &str) -> Option<Item> {
    let mut at = 0;
    let mut public = false;
    if is_word(tokens.first(), "pub") {
        public = !matches!(tokens.get(1), Some(TokenTree::Group(g)) if g.delimiter() == Delimiter::Parenthesis);
        at = if public { 1 } else { 2 };
    }
    while ["async", "unsafe", "extern", "auto"]
        .iter()
        .any(|word| is_word(tokens.get(at), word))
        || is_word(tokens.get(at), "const") && is_word(tokens.get(at + 1), "fn")
        || matches!(tokens.get(at), Some(TokenTree::Literal(_)))
    {
        at += 1;
    }
    let TokenTree::Ident(word) = tokens.get(at)? else {
        return None;
    };
    let name = tokens
        .get(at + 1)
        .map(ToString::to_string)
        .unwrap_or_default();
    let body = tokens.iter().rev().find_map(|token| match token {
        TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => Some(group),
        _ => None,
    });
    let is_body = |token: &TokenTree| matches!(token, TokenTree::Group(g) if g.delimiter() == Delimiter::Brace);
    let head = tokens.iter().take_while(|token| !is_body(token)).cloned();
    let signature = render(head).trim_end_matches(';').to_owned();
    let head = format!("{attributes}{signature}");
    let named = |inner| Item {
        kind: Kind::Named,
        public,
        name: name.clone(),
        head: head.clone(),
        inner,
    };
    let inner = |read: fn(&Group) -> Vec<String>| body.map(read).unwrap_or_default();
    match word.to_string().as_str() {
        "fn" => Some(named(Vec::new())),
        "const" | "static" | "type" => Some(named(Vec::new())),
        "struct" if body.is_some() => Some(named(inner(fields))),
        "struct" => Some(Item {
            head: format!("{attributes}{}", tuple(&signature)),
            ..named(Vec::new())
        }),
        "union" => Some(named(inner(fields))),
        "enum" => Some(named(inner(variants))),
        "trait" => Some(named(inner(|body| {
            items(body.stream())
                .into_iter()
                .map(|item| item.head)
                .collect()
        }))),
        "impl" => Some(implementation(tokens, at, body?, head)),
        "macro_rules" => {
            let name = tokens
                .get(at + 2)
                .map(ToString::to_string)
                .unwrap_or_default();
            let inner = vec![render(without_bodies(body?.stream()))];
            Some(Item {
                kind: Kind::Macro,
                public,
                name,
                head,
                inner,
            })
        }
        _ => None,
    }
}

/// Private fields of a tuple are nobody's business.
fn tuple(signature: &str) -> String {
    match signature.split_once('(') {
        Some((name, fields)) if !fields.contains("pub ") => format!("{name}(_)"),
        _ => signature.to_owned(),
    }
}

fn is_word(token: Option<&TokenTree>, word: &str) -> bool {
    matches!(token, Some(TokenTree::Ident(ident)) if ident == word)
}

fn fields(body: &Group) -> Vec<String> {
    let public = split(body).into_iter().filter(|field| {
        let field = without_attributes(field);
        is_word(field.first(), "pub")
            && !matches!(field.get(1), Some(TokenTree::Group(g)) if g.delimiter() == Delimiter::Parenthesis)
    });
    public
        .map(|field| render(without_bodies(field.into_iter().collect())))
        .collect()
}

fn variants(body: &Group) -> Vec<String> {
    let variants = split(body)
        .into_iter()
        .filter(|variant| !variant.is_empty());
    variants
        .map(|variant| render(without_bodies(variant.into_iter().collect())))
        .collect()
}

/// What stands between commas, but not within `<…>`.
fn split(body: &Group) -> Vec<Vec<TokenTree>> {
    let mut parts = vec![Vec::new()];
    let mut depth = 0_usize;
    let mut last = ' ';
    for token in body.stream() {
        if let TokenTree::Punct(punct) = &token {
            match punct.as_char() {
                '<' => depth += 1,
                '>' if last != '-' && last != '=' => depth = depth.saturating_sub(1),
                ',' if depth == 0 => {
                    parts.push(Vec::new());
                    continue;
                }
                _ => {}
            }
            last = punct.as_char();
        }
        parts.last_mut().expect("there is a first").push(token);
    }
    parts.retain(|part| !part.is_empty());
    parts
}

/// `impl<…> Type { … }` or `impl<…> Trait for Type { … }`; the name is the last word of the type's path.
fn implementation(tokens: &[TokenTree], at: usize, body: &Group, head: String) -> Item {
    let mut depth = 0_usize;
    let mut last = ' ';
    let mut name = String::new();
    let mut is_trait = false;
    let mut done = false;
    for (index, token) in tokens.iter().enumerate().skip(at + 1) {
        match token {
            TokenTree::Punct(punct) => {
                match punct.as_char() {
                    '<' => depth += 1,
                    '>' if last != '-' && last != '=' => depth = depth.saturating_sub(1),
                    _ => {}
                }
                last = punct.as_char();
            }
            TokenTree::Ident(word)
                if depth == 0 && word == "for" && !is_punct(tokens, index + 1, '<') =>
            {
                is_trait = true;
                done = false;
                name.clear();
            }
            TokenTree::Ident(word) if depth == 0 && word == "where" => done = true,
            TokenTree::Ident(word) if depth == 0 && !done => name = word.to_string(),
            _ => {}
        }
    }
    let kind = if is_trait { Kind::Trait } else { Kind::Methods };
    let inner = items(body.stream())
        .into_iter()
        .filter(|item| item.public && kind == Kind::Methods);
    let inner = inner.map(|item| item.head).collect();
    Item {
        kind,
        public: true,
        name,
        head,
        inner,
    }
}

#[test]
fn items_are_read_as_others_see_them() {
    let text = "/// Doc.\n#[derive(Debug)] pub struct A<T> { pub b: Vec<(u8, T)>, c: u8 }\n\
                #[derive(Copy)] pub struct D(u8);\n\
                #[cfg(test)] pub fn e() {}\n\
                pub(crate) fn f() {}\n\
                impl<T> A<T> where T: Copy { pub const fn g(&self) -> T { self.b[0].1 } fn h() {} }\n\
                impl<T> From<u8> for A<T> { fn from(_: u8) -> Self { todo() } }\n\
                pub enum I { #[non_exhaustive] J { k: u8 }, L(u8) }\n\
                pub trait M: Sized { const N: u8 = 1; fn o(&self) {} }";
    let shown: Vec<_> = items(text.parse().unwrap())
        .into_iter()
        .filter(|item| item.public)
        .map(|item| format!("{} {}: {}", item.name, item.head, item.inner.join(" | ")))
        .collect();
    let expected = [
        "A #[derive(Debug)] pub struct A<T>: pub b: Vec<(u8, T)>",
        "D #[derive(Copy)] pub struct D(_): ",
        "A impl<T> A<T> where T: Copy: pub const fn g(&self) -> T",
        "A impl<T> From<u8> for A<T>: ",
        "I pub enum I: #[non_exhaustive] J { k: u8 } | L(u8)",
        "M pub trait M: Sized: const N: u8 = 1 | fn o(&self)",
    ];
    assert_eq!(shown, expected);
}
