//! Which module uses which: the arrows between the modules of `src`, and between the files of each folder.
//!
//! A name is followed through re-exports to the file that has it, so that a parent's `mod.rs` that only declares and
//! re-exports has no part in any cycle. Nothing is exempt but `lib.rs`, which is the root.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use proc_macro2::TokenStream;

use super::scan::{Import, Scan};

/// A module, as the names on the way from the root to it; the root has none.
pub(crate) type Path = Vec<String>;

/// All files that are no tests.
#[derive(Debug)]
pub(crate) struct Tree {
    modules: BTreeMap<Path, File>,
}

#[derive(Debug)]
struct File {
    shown: String,
    text: String,
    scan: Scan,
}

/// One part of a folder uses another.
#[derive(Debug)]
pub(crate) struct Arrow {
    /// The folder, as in `src/link`.
    pub(crate) folder: String,
    /// A file or a folder within it; `mod` for its `mod.rs`.
    pub(crate) from: String,
    pub(crate) to: String,
    /// Where, and which name.
    pub(crate) uses: Vec<(String, String)>,
}

impl fmt::Display for Arrow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} -> {}", self.folder, self.from, self.to)
    }
}

/// What a path leads to: a module, or a name in one.
struct Target {
    module: Path,
    name: Option<String>,
}

impl Tree {
    /// From files with their paths below `src`, as in `link/mod.rs`.
    pub(crate) fn of(files: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut texts: BTreeMap<Path, (String, String)> = BTreeMap::new();
        for (path, text) in files {
            let mut module: Path = path
                .trim_end_matches(".rs")
                .split('/')
                .map(str::to_owned)
                .collect();
            module.pop_if(|last| last == "mod" || last == "lib");
            texts.insert(module, (format!("src/{path}"), text));
        }
        let mut modules = BTreeMap::new();
        let mut open = vec![Path::new()];
        while let Some(path) = open.pop() {
            let Some((shown, text)) = texts.remove(&path) else {
                continue;
            };
            let scan = Scan::of(&text);
            open.extend(scan.children.iter().map(|child| below(&path, child)));
            modules.insert(path, File { shown, text, scan });
        }
        Self { modules }
    }

    /// Modules directly below the root.
    pub(crate) fn top_level(&self) -> impl Iterator<Item = &str> {
        self.modules
            .keys()
            .filter(|path| path.len() == 1)
            .map(|path| path[0].as_str())
    }

    /// All modules that stand in files, and their tokens.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&Path, TokenStream)> {
        let tokens = |file: &File| file.text.parse().expect("a file of Rust");
        self.modules
            .iter()
            .map(move |(path, file)| (path, tokens(file)))
    }

    pub(crate) fn public_children(&self, module: &Path) -> Vec<String> {
        let file = self.modules.get(module);
        file.into_iter()
            .flat_map(|file| file.scan.public_children.iter().cloned())
            .collect()
    }

    /// Names that a module has from elsewhere and that are public there: what they are called, and what they name.
    pub(crate) fn exports(&self, module: &Path) -> Vec<(String, (Path, String))> {
        let imports = self
            .modules
            .get(module)
            .into_iter()
            .flat_map(|file| &file.scan.imports);
        let exported = imports.filter(|import| import.exported);
        exported
            .map(|import| {
                let target = match self.resolve(module, &import.path, 0) {
                    Some(Target {
                        module,
                        name: Some(name),
                    }) => (module, name),
                    // A module and what has its name, as `supervise` is.
                    Some(Target { module, name: None }) => {
                        (module.clone(), module.last().cloned().unwrap_or_default())
                    }
                    None => (vec!["::".to_owned()], import.path.join("::")),
                };
                (import.name.clone(), target)
            })
            .collect()
    }

    /// What a name stands for in a module: one that is imported, or its own.
    pub(crate) fn names(&self, module: &Path, name: &str) -> (Path, String) {
        match self.resolve(module, &[name.to_owned()], 0) {
            Some(Target {
                module,
                name: Some(name),
            }) => (module, name),
            _ => (module.clone(), name.to_owned()),
        }
    }

    /// All arrows, by folder.
    pub(crate) fn arrows(&self) -> Vec<Arrow> {
        let mut arrows: BTreeMap<(Path, String, String), Vec<(String, String)>> = BTreeMap::new();
        for (module, file) in self.modules.iter().filter(|(path, _)| !path.is_empty()) {
            for (target, name, line) in self.uses(module, file) {
                if target == *module {
                    continue;
                }
                let shared = module
                    .iter()
                    .zip(&target)
                    .take_while(|(a, b)| a == b)
                    .count();
                let node = |path: &Path| match path.get(shared) {
                    Some(node) => node.clone(),
                    None if shared == 0 => "lib".to_owned(),
                    None => "mod".to_owned(),
                };
                let key = (module[..shared].to_vec(), node(module), node(&target));
                let place = format!("{}:{line}", file.shown);
                arrows.entry(key).or_default().push((place, name));
            }
        }
        arrows
            .into_iter()
            .map(|((folder, from, to), uses)| Arrow {
                folder: std::iter::once("src".to_owned())
                    .chain(folder)
                    .collect::<Vec<_>>()
                    .join("/"),
                from,
                to,
                uses,
            })
            .collect()
    }

    /// The modules that a file uses, each with the name and the line.
    fn uses(&self, module: &Path, file: &File) -> Vec<(Path, String, usize)> {
        let mut uses = Vec::new();
        for import in &file.scan.imports {
            let Some(target) = self.resolve(module, &import.path, 0) else {
                continue;
            };
            let is_below = target.module.len() > module.len() && target.module.starts_with(module);
            if !is_below {
                uses.push((target.module, import.path.join("::"), import.line));
                continue;
            }
            // Declared here, and perhaps only passed on: it counts where this file itself uses it.
            let here = file
                .scan
                .idents
                .iter()
                .filter(|(word, _)| *word == import.name);
            uses.extend(here.map(|(word, line)| (target.module.clone(), word.clone(), *line)));
        }
        for used in &file.scan.paths {
            let first = used.path[0].as_str();
            let known = matches!(first, "crate" | "self" | "super")
                || file.scan.children.contains(first)
                || self.import(module, first).is_some_and(|import| {
                    let target = self.resolve(module, &import.path, 0);
                    target.is_some_and(|target| target.name.is_none())
                });
            if known && let Some(target) = self.resolve(module, &used.path, 0) {
                uses.push((target.module, used.path.join("::"), used.line));
            }
        }
        uses
    }

    fn import(&self, module: &Path, name: &str) -> Option<&Import> {
        let imports = &self.modules.get(module)?.scan.imports;
        imports.iter().find(|import| import.name == name)
    }

    /// Follows a path that stands in `module`; there is no target outside of this crate.
    fn resolve(&self, module: &Path, path: &[String], depth: usize) -> Option<Target> {
        if depth > 16 {
            return None;
        }
        let mut at = module.clone();
        let mut rest = path;
        match path.first()?.as_str() {
            "crate" => at.clear(),
            "self" => {}
            "super" => {
                at.pop();
            }
            first if self.is_child(&at, first) => at.push(first.to_owned()),
            first => {
                let import = self.import(module, first)?;
                // A crate may have the name of what is imported from it.
                if import.path.first().is_some_and(|word| word == first) {
                    return None;
                }
                let target = self.resolve(module, &import.path, depth + 1)?;
                if target.name.is_some() {
                    return Some(target);
                }
                at = target.module;
            }
        }
        rest = &rest[1..];
        while let Some((word, further)) = rest.split_first() {
            if word == "super" {
                at.pop();
            } else if self.is_child(&at, word) {
                at.push(word.clone());
            } else {
                let through = self.import(&at, word);
                let target = through.and_then(|import| self.resolve(&at, &import.path, depth + 1));
                match target {
                    Some(target) if target.name.is_none() => at = target.module,
                    Some(target) => return Some(target),
                    None => {
                        let name = Some(word.clone());
                        return Some(Target { module: at, name });
                    }
                }
            }
            rest = further;
        }
        Some(Target {
            module: at,
            name: None,
        })
    }

    fn is_child(&self, module: &Path, name: &str) -> bool {
        self.modules
            .get(module)
            .is_some_and(|file| file.scan.children.contains(name))
    }
}

fn below(path: &Path, child: &str) -> Path {
    path.iter().cloned().chain([child.to_owned()]).collect()
}

/// Arrows that run up against the order of the modules, and those on which one comes back to where one was.
pub(crate) fn forbidden<'a>(arrows: &'a [Arrow], order: &[&str]) -> Vec<(&'a Arrow, &'static str)> {
    let rank = |name: &str| order.iter().position(|known| *known == name);
    let is_up = |arrow: &Arrow| {
        let (from, to) = (rank(&arrow.from), rank(&arrow.to));
        arrow.folder == "src" && from.is_none_or(|from| to.is_none_or(|to| to > from))
    };
    let mut found = Vec::new();
    for arrow in arrows {
        if is_up(arrow) {
            found.push((arrow, "runs up"));
        } else if arrow.folder != "src" && reaches(arrows, &arrow.folder, &arrow.to, &arrow.from) {
            found.push((arrow, "is part of a cycle"));
        }
    }
    found
}

fn reaches(arrows: &[Arrow], folder: &str, from: &str, to: &str) -> bool {
    let mut seen = BTreeSet::from([from]);
    let mut open = vec![from];
    while let Some(at) = open.pop() {
        let out = arrows
            .iter()
            .filter(|arrow| arrow.folder == folder && arrow.from == at);
        open.extend(
            out.map(|arrow| arrow.to.as_str())
                .filter(|next| seen.insert(next)),
        );
    }
    seen.contains(to)
}

#[cfg(test)]
fn planted(files: &[(&str, &str)]) -> Vec<Arrow> {
    let files = files
        .iter()
        .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()));
    Tree::of(files).arrows()
}

#[test]
fn a_planted_cycle_is_found_through_re_exports_and_inline_paths() {
    let arrows = planted(&[
        ("lib.rs", "mod link; pub use link::A;"),
        (
            "link/mod.rs",
            "mod a; mod b; mod c; pub(crate) use a::A; use b::B;",
        ),
        (
            "link/a.rs",
            "pub(crate) struct A; fn f() { tracing::debug!(super::B::new()) }",
        ),
        (
            "link/b.rs",
            "pub(crate) struct B; use crate::A; use super::c;",
        ),
        (
            "link/c.rs",
            "fn g() {}\n#[cfg(test)] mod tests { use super::super::a::A; }",
        ),
    ]);
    let shown: Vec<_> = arrows.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        ["src/link: a -> b", "src/link: b -> a", "src/link: b -> c"]
    );
    assert_eq!(
        arrows[0].uses,
        [("src/link/a.rs:1".to_owned(), "super::B::new".to_owned())]
    );
    let forbidden: Vec<_> = forbidden(&arrows, &["link"])
        .iter()
        .map(|(arrow, _)| arrow.to_string())
        .collect();
    assert_eq!(forbidden, ["src/link: a -> b", "src/link: b -> a"]);
}

#[test]
fn a_planted_arrow_up_is_found_and_so_is_an_undeclared_module() {
    let arrows = planted(&[
        ("lib.rs", "mod id; mod link; mod stray; pub use link::Link;"),
        ("id.rs", "use crate::Link;"),
        ("link.rs", "pub struct Link; use crate::id::Id;"),
        ("stray.rs", "use crate::id::Id;"),
    ]);
    let forbidden: Vec<_> = forbidden(&arrows, &["id", "link"])
        .iter()
        .map(|(arrow, why)| format!("{arrow} {why}"))
        .collect();
    assert_eq!(
        forbidden,
        ["src: id -> link runs up", "src: stray -> id runs up"]
    );
}

#[test]
fn a_parent_takes_part_in_a_cycle_only_by_what_it_uses_and_has_itself() {
    let passes_on = planted(&[
        ("lib.rs", "mod link;"),
        (
            "link/mod.rs",
            "mod a; mod b; pub(crate) use a::A; use b::B;",
        ),
        ("link/a.rs", "use super::B;"),
        ("link/b.rs", ""),
    ]);
    assert!(forbidden(&passes_on, &["link"]).is_empty());
    let has_its_own = planted(&[
        ("lib.rs", "mod link;"),
        (
            "link/mod.rs",
            "mod a; pub(crate) use a::A; struct Own; fn f(_: A) {}",
        ),
        ("link/a.rs", "use super::Own;"),
    ]);
    assert_eq!(forbidden(&has_its_own, &["link"]).len(), 2);
}
