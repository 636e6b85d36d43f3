//! Reads one file of Rust: the modules it declares, the names it imports, and the paths it uses. Tests are left out.

use std::collections::BTreeSet;

use proc_macro2::{Delimiter, Group, Ident, TokenStream, TokenTree};

/// One file, without its tests.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    /// Modules that stand in files of their own.
    pub(crate) children: BTreeSet<String>,
    /// Those of them that are `pub`, and not hidden.
    pub(crate) public_children: BTreeSet<String>,
    /// Modules of which the file says that they are tests.
    pub(crate) test_children: BTreeSet<String>,
    pub(crate) imports: Vec<Import>,
    /// Paths of two segments or more, outside of `use`.
    pub(crate) paths: Vec<Used>,
    /// All names outside of `use`, to tell whether an imported one is used here.
    pub(crate) idents: Vec<(String, usize)>,
    /// Names behind a dot.
    pub(crate) methods: Vec<(String, usize)>,
}

/// One leaf of a `use` tree.
#[derive(Debug)]
pub(crate) struct Import {
    pub(crate) path: Vec<String>,
    /// The name that it has here; `*` for all names of the path.
    pub(crate) name: String,
    /// `pub`: whoever sees this module may take it from here.
    pub(crate) exported: bool,
    pub(crate) line: usize,
}

/// A path as it is written.
#[derive(Debug)]
pub(crate) struct Used {
    pub(crate) path: Vec<String>,
    pub(crate) line: usize,
}

impl Scan {
    pub(crate) fn of(text: &str) -> Self {
        let tokens: TokenStream = text.parse().expect("a file of Rust");
        let mut scan = Self::default();
        scan.walk(tokens, 0);
        scan
    }

    /// Walks over tokens; `inner` counts the modules in braces around them, of which each is one more `super`.
    fn walk(&mut self, tokens: TokenStream, inner: usize) {
        let tokens: Vec<_> = tokens.into_iter().collect();
        let mut at = 0;
        let mut exported = false;
        let mut hidden = false;
        while let Some(token) = tokens.get(at) {
            let was_exported = std::mem::take(&mut exported);
            match token {
                TokenTree::Punct(punct) if punct.as_char() == '#' => {
                    let Some((group, next)) = attribute(&tokens, at) else {
                        at += 1;
                        continue;
                    };
                    at = next;
                    hidden |= group.stream().to_string().contains("hidden");
                    if is_test_only(group) {
                        at = self.skip_item(&tokens, at);
                        hidden = false;
                    }
                }
                TokenTree::Ident(word) if word == "pub" => {
                    at += 1;
                    if let Some(TokenTree::Group(group)) = tokens.get(at)
                        && group.delimiter() == Delimiter::Parenthesis
                    {
                        at += 1;
                        continue;
                    }
                    exported = true;
                }
                TokenTree::Ident(word) if word == "mod" => {
                    let public = was_exported && !std::mem::take(&mut hidden);
                    at = self.module(&tokens, at, inner, public);
                }
                TokenTree::Ident(word) if word == "use" && !is_bound(&tokens, at) => {
                    let end = (at..tokens.len()).find(|at| is_punct(&tokens, *at, ';'));
                    let end = end.unwrap_or(tokens.len());
                    let first = self.imports.len();
                    self.tree(&tokens[at + 1..end], &[], was_exported);
                    for import in &mut self.imports[first..] {
                        leave(&mut import.path, inner);
                    }
                    at = end;
                }
                TokenTree::Ident(word) => at = self.path(&tokens, at, word, inner),
                TokenTree::Group(group) => {
                    self.walk(group.stream(), inner);
                    at += 1;
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => at += 1,
            }
        }
    }

    /// `mod name;` or `mod name { … }`, at `mod`; gives what follows.
    fn module(&mut self, tokens: &[TokenTree], at: usize, inner: usize, public: bool) -> usize {
        let Some(TokenTree::Ident(name)) = tokens.get(at + 1) else {
            return at + 1;
        };
        match tokens.get(at + 2) {
            Some(TokenTree::Group(body)) => self.walk(body.stream(), inner + 1),
            _ => {
                self.children.insert(name.to_string());
                if public {
                    self.public_children.insert(name.to_string());
                }
            }
        }
        at + 3
    }

    /// Skips the item behind an attribute that says it is for tests.
    fn skip_item(&mut self, tokens: &[TokenTree], mut at: usize) -> usize {
        while let Some((_, next)) = attribute(tokens, at) {
            at = next;
        }
        let words = tokens[at..].iter().filter_map(|token| match token {
            TokenTree::Ident(word) => Some(word.to_string()),
            _ => None,
        });
        let words: Vec<_> = words.filter(|w| w != "pub").take(2).collect();
        if let [module, name] = &words[..]
            && module == "mod"
        {
            self.test_children.insert(name.clone());
        }
        let to_semicolon = words
            .first()
            .is_some_and(|w| matches!(&w[..], "use" | "const" | "static" | "type" | "let"))
            && words.get(1).is_none_or(|w| w != "fn");
        while let Some(token) = tokens.get(at) {
            at += 1;
            match token {
                TokenTree::Punct(punct) if punct.as_char() == ';' => return at,
                TokenTree::Punct(punct) if punct.as_char() == ',' && !to_semicolon => return at,
                TokenTree::Group(group)
                    if group.delimiter() == Delimiter::Brace && !to_semicolon =>
                {
                    return at;
                }
                _ => {}
            }
        }
        at
    }

    /// A path or a name, at its first word; gives what follows.
    fn path(&mut self, tokens: &[TokenTree], start: usize, first: &Ident, inner: usize) -> usize {
        let line = first.span().start().line;
        let mut path = vec![first.to_string()];
        let mut at = start + 1;
        while is_punct(tokens, at, ':') && is_punct(tokens, at + 1, ':') {
            let Some(TokenTree::Ident(word)) = tokens.get(at + 2) else {
                break;
            };
            path.push(word.to_string());
            at += 3;
        }
        if start > 0 && is_punct(tokens, start - 1, '.') {
            self.methods.push((path[0].clone(), line));
        }
        // `::name` is another crate, `$crate::name` is whoever uses the macro, `.name::<…>` a method.
        let outside = start > 0
            && (is_punct(tokens, start - 1, ':') && start > 1 && is_punct(tokens, start - 2, ':')
                || is_punct(tokens, start - 1, '$')
                || is_punct(tokens, start - 1, '.'));
        self.idents
            .extend(path.iter().map(|word| (word.clone(), line)));
        if path.len() > 1 && !outside {
            leave(&mut path, inner);
            self.paths.push(Used { path, line });
        }
        at
    }

    /// The leaves of a `use` tree.
    fn tree(&mut self, tokens: &[TokenTree], prefix: &[String], exported: bool) {
        for branch in
            tokens.split(|token| matches!(token, TokenTree::Punct(p) if p.as_char() == ','))
        {
            let mut path = prefix.to_vec();
            let mut name = None;
            let mut line = 0;
            let mut at = 0;
            let mut nested = false;
            while let Some(token) = branch.get(at) {
                match token {
                    TokenTree::Ident(word) if word == "as" => {
                        name = branch.get(at + 1).map(ToString::to_string);
                        at += 1;
                    }
                    TokenTree::Ident(word) => {
                        line = word.span().start().line;
                        path.push(word.to_string());
                    }
                    TokenTree::Punct(punct) if punct.as_char() == '*' => {
                        line = punct.span().start().line;
                        name = Some("*".to_owned());
                    }
                    TokenTree::Group(group) => {
                        nested = true;
                        let inner: Vec<_> = group.stream().into_iter().collect();
                        self.tree(&inner, &path, exported);
                    }
                    TokenTree::Punct(_) | TokenTree::Literal(_) => {}
                }
                at += 1;
            }
            if nested || path.len() == prefix.len() && name.is_none() {
                continue;
            }
            if path.len() > 1 && path.last().is_some_and(|word| word == "self") {
                path.pop();
            }
            let name = name.unwrap_or_else(|| path.last().cloned().unwrap_or_default());
            self.imports.push(Import {
                path,
                name,
                exported,
                line,
            });
        }
    }
}

/// Within `inner` modules in braces, so many `super` stay within the file.
fn leave(path: &mut Vec<String>, inner: usize) {
    for _ in 0..inner {
        match path.first().map(String::as_str) {
            Some("super") if path.get(1).is_some_and(|word| word == "super") => _ = path.remove(0),
            Some("super") => path[0] = "self".to_owned(),
            _ => return,
        }
    }
}

pub(crate) fn is_punct(tokens: &[TokenTree], at: usize, wanted: char) -> bool {
    matches!(tokens.get(at), Some(TokenTree::Punct(punct)) if punct.as_char() == wanted)
}

/// `use<'a>` in a bound is no import.
fn is_bound(tokens: &[TokenTree], at: usize) -> bool {
    is_punct(tokens, at + 1, '<')
}

/// The brackets of the attribute at `#`, and where it ends.
pub(crate) fn attribute(tokens: &[TokenTree], at: usize) -> Option<(&Group, usize)> {
    if !is_punct(tokens, at, '#') {
        return None;
    }
    let at = if is_punct(tokens, at + 1, '!') {
        at + 2
    } else {
        at + 1
    };
    match tokens.get(at) {
        Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Bracket => {
            Some((group, at + 1))
        }
        _ => None,
    }
}

/// Whether an attribute is a `cfg` that holds only where tests are built.
pub(crate) fn is_test_only(attribute: &Group) -> bool {
    let tokens: Vec<_> = attribute.stream().into_iter().collect();
    match &tokens[..] {
        [TokenTree::Ident(word), TokenTree::Group(condition)] if word == "cfg" => {
            implies_test(&condition.stream().into_iter().collect::<Vec<_>>())
        }
        [TokenTree::Ident(word)] => word == "test",
        _ => false,
    }
}

fn implies_test(condition: &[TokenTree]) -> bool {
    match condition {
        [TokenTree::Ident(word)] => word == "test",
        [TokenTree::Ident(word), TokenTree::Group(group)] => {
            let inner: Vec<_> = group.stream().into_iter().collect();
            let mut parts = inner
                .split(|token| matches!(token, TokenTree::Punct(p) if p.as_char() == ','))
                .filter(|part| !part.is_empty());
            match word.to_string().as_str() {
                "all" => parts.any(implies_test),
                "any" => parts.all(implies_test),
                _ => false,
            }
        }
        _ => false,
    }
}

#[test]
fn tests_are_left_out_wherever_they_stand() {
    let scan = Scan::of(
        "#[cfg(test)] use crate::a::A;\n\
         #[cfg(all(test, unix))] mod tests;\n\
         #[cfg(any(fuzzing, test))] mod kept;\n\
         fn f(#[cfg(test)] x: crate::b::B, y: crate::c::C) {}\n\
         #[cfg(test)] impl D { fn d() { crate::d::d() } }\n\
         #[test] fn e() { crate::e::e() }\n\
         fn g() { crate::g::g() }\n",
    );
    let paths: Vec<_> = scan.paths.iter().map(|used| used.path.join("::")).collect();
    assert_eq!(paths, ["crate::c::C", "crate::g::g"]);
    assert!(scan.imports.is_empty());
    assert!(scan.test_children.contains("tests") && scan.children.contains("kept"));
}

#[test]
fn trees_are_spelled_out_and_strings_are_no_code() {
    let scan = Scan::of(
        "pub use super::{self, a::{B, C as D}, e::*};\n\
         /// `crate::comment::x`\n\
         fn f() { \"crate::string::x\"; ::outside::x; tracing::debug!(crate::inside::x) }\n\
         mod inline { use super::y; use super::super::z; }\n",
    );
    let imports: Vec<_> = scan
        .imports
        .iter()
        .map(|import| format!("{} as {}", import.path.join("::"), import.name))
        .collect();
    assert_eq!(
        imports,
        [
            "super as super",
            "super::a::B as B",
            "super::a::C as D",
            "super::e as *",
            "self::y as y",
            "super::z as z"
        ]
    );
    assert!(scan.imports[0].exported && !scan.imports[4].exported);
    let paths: Vec<_> = scan
        .paths
        .iter()
        .map(|used| (used.path.join("::"), used.line))
        .collect();
    assert_eq!(
        paths,
        [
            ("tracing::debug".to_owned(), 3),
            ("crate::inside::x".to_owned(), 3)
        ]
    );
}
