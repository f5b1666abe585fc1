//! Imports between the files of a crate: no cycle, and nothing from a later layer.
//!
//! It reads tokens and follows paths to files. A name that a file re-exports counts as an import of that file, so
//! import from the file that defines the name.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::{fs, str::FromStr as _};

use anyhow::{Context, Result, anyhow, ensure};
use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// A crate to check.
struct Checked {
    sources: &'static str,
    /// Top-level modules, each of which may import only those before it. Others are not restricted.
    layers: &'static [&'static str],
}

/// The crates to check.
const CRATES: [Checked; 2] = [
    Checked {
        sources: "crates/plan/src",
        layers: &[],
    },
    Checked {
        sources: "crates/controller/src",
        layers: &["telemetry", "leader", "cache", "write", "reconcile", "run"],
    },
];

/// Fails when files of a crate import each other in a cycle, or an earlier layer imports a later one.
pub(super) fn check(root: &Path) -> Result<()> {
    let mut findings = Vec::new();
    for Checked { sources, layers } in CRATES {
        let mut files = BTreeMap::new();
        read(&root.join(sources), "", &mut files)?;
        let imports = Imports::of(&files).with_context(|| sources.to_owned())?;
        let found: Vec<String> = imports
            .cycles()
            .into_iter()
            .chain(imports.upward(layers))
            .collect();
        println!("{sources}: {} files, {} findings", files.len(), found.len());
        findings.extend(found.into_iter().map(|finding| format!("{sources}: {finding}")));
    }
    ensure!(findings.is_empty(), "{}", findings.join("\n"));
    Ok(())
}

/// Reads every source file below `folder`, by its path in the crate's sources.
fn read(folder: &Path, prefix: &str, files: &mut BTreeMap<String, String>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.with_context(|| format!("{} is not UTF-8", path.display()))?;
        let full = format!("{prefix}{name}");
        if path.is_dir() {
            read(&path, &format!("{full}/"), files)?;
        } else if path.extension().is_some_and(|ending| ending == "rs") && full != "main.rs" {
            let text =
                fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            files.insert(full, text);
        }
    }
    Ok(())
}

/// A path of modules from the crate's root.
type Module = Vec<String>;

/// Which file imports which.
struct Imports {
    by_file: BTreeMap<String, BTreeSet<String>>,
}

impl Imports {
    fn of(files: &BTreeMap<String, String>) -> Result<Self> {
        let file_of: BTreeMap<Module, &String> = files.keys().map(|file| (module_of(file), file)).collect();
        let mut by_file = BTreeMap::new();
        for (file, text) in files {
            let tokens = TokenStream::from_str(text).map_err(|error| anyhow!("{file}: {error}"))?;
            let mut reader = Reader {
                file_of: &file_of,
                imported: BTreeSet::new(),
            };
            reader.read(tokens, &module_of(file));
            reader.imported.remove(file);
            by_file.insert(file.clone(), reader.imported);
        }
        Ok(Self { by_file })
    }

    fn of_file(&self, file: &str) -> impl Iterator<Item = &String> {
        self.by_file.get(file).into_iter().flatten()
    }

    /// Every file that `file` imports, directly or not.
    fn reachable(&self, file: &str) -> BTreeSet<&String> {
        let mut reached = BTreeSet::new();
        let mut left: Vec<&String> = self.of_file(file).collect();
        while let Some(next) = left.pop() {
            if reached.insert(next) {
                left.extend(self.of_file(next));
            }
        }
        reached
    }

    /// One line for each set of files that import each other.
    fn cycles(&self) -> Vec<String> {
        let reachable: BTreeMap<&String, BTreeSet<&String>> = self
            .by_file
            .keys()
            .map(|file| (file, self.reachable(file)))
            .collect();
        let reaches =
            |from: &String, to: &String| reachable.get(from).is_some_and(|reached| reached.contains(to));
        let mut cycles = BTreeSet::new();
        for file in self.by_file.keys().filter(|file| reaches(file, file)) {
            let members = self.by_file.keys();
            cycles.insert(
                members
                    .filter(|other| reaches(file, other) && reaches(other, file))
                    .collect::<Vec<_>>(),
            );
        }
        cycles
            .into_iter()
            .map(|members| self.describe(&members))
            .collect()
    }

    fn describe(&self, members: &[&String]) -> String {
        let mut lines = vec![format!(
            "{} files import each other in a cycle; move what they share into a file that imports none of them:",
            members.len()
        )];
        for file in members {
            let imported: Vec<&str> = self
                .of_file(file)
                .filter(|other| members.contains(other))
                .map(String::as_str)
                .collect();
            lines.push(format!("  {file} imports {}", imported.join(", ")));
        }
        lines.join("\n")
    }

    /// One line for each import of a later layer by an earlier one.
    fn upward(&self, layers: &[&str]) -> Vec<String> {
        let layer = |file: &String| {
            let module = module_of(file);
            layers
                .iter()
                .position(|layer| module.first().is_some_and(|first| first == layer))
        };
        let mut findings = Vec::new();
        for (file, imported) in &self.by_file {
            for other in imported
                .iter()
                .filter(|other| layer(file) < layer(other) && layer(file).is_some())
            {
                findings.push(format!(
                    "{file} imports {other}, which is in a later layer (layers: {}); pass it what it needs instead",
                    layers.join(", ")
                ));
            }
        }
        findings
    }
}

/// The module that a file holds.
fn module_of(file: &str) -> Module {
    let path = file.trim_end_matches(".rs").trim_end_matches("/mod");
    if path == "lib" {
        return Module::new();
    }
    path.split('/').map(str::to_owned).collect()
}

/// Finds the files that a token stream names.
struct Reader<'a> {
    file_of: &'a BTreeMap<Module, &'a String>,
    imported: BTreeSet<String>,
}

impl Reader<'_> {
    fn read(&mut self, tokens: TokenStream, module: &Module) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut rest = tokens.as_slice();
        while let [first, after @ ..] = rest {
            rest = match (first, after) {
                (TokenTree::Punct(punct), [TokenTree::Group(attribute), item @ ..])
                    if punct.as_char() == '#' && is_test(attribute) =>
                {
                    after_item(item)
                }
                (TokenTree::Ident(word), [TokenTree::Ident(name), TokenTree::Group(body), later @ ..])
                    if *word == "mod" =>
                {
                    let inner: Module = module.iter().cloned().chain([name.to_string()]).collect();
                    self.read(body.stream(), &inner);
                    later
                }
                (TokenTree::Ident(word), _) => self.read_path(&word.to_string(), after, module),
                (TokenTree::Group(group), _) => {
                    self.read(group.stream(), module);
                    after
                }
                _ => after,
            };
        }
    }

    /// Reads the rest of a path that starts with `first`; returns what follows it.
    fn read_path<'t>(&mut self, first: &str, rest: &'t [TokenTree], module: &Module) -> &'t [TokenTree] {
        let child: Module = module.iter().cloned().chain([first.to_owned()]).collect();
        let base = match first {
            "crate" => Some(Module::new()),
            "self" => Some(module.clone()),
            "super" => Some(parent(module)),
            _ if self.file_of.contains_key(&child) => Some(child),
            _ => None,
        };
        let Some(after_colons) = after_colons(rest) else {
            return rest;
        };
        match base {
            Some(base) => self.read_segments(base, after_colons),
            // A path into another crate or of a name in scope: its segments name no file.
            None => skip_segments(after_colons),
        }
    }

    fn read_segments<'t>(&mut self, mut path: Module, mut rest: &'t [TokenTree]) -> &'t [TokenTree] {
        loop {
            match rest {
                [TokenTree::Ident(segment), after @ ..] => {
                    match segment.to_string().as_str() {
                        "self" => {}
                        "super" => path = parent(&path),
                        name => path.push(name.to_owned()),
                    }
                    let Some(more) = after_colons(after) else {
                        self.import(&path);
                        return after;
                    };
                    rest = more;
                }
                [TokenTree::Group(group), after @ ..] if group.delimiter() == Delimiter::Brace => {
                    self.read_tree(&path, group.stream());
                    return after;
                }
                _ => {
                    self.import(&path);
                    return rest;
                }
            }
        }
    }

    /// Reads the braces of `use path::{a, b::c}`.
    fn read_tree(&mut self, path: &Module, tree: TokenStream) {
        let tokens: Vec<TokenTree> = tree.into_iter().collect();
        let is_comma = |token: &TokenTree| matches!(token, TokenTree::Punct(punct) if punct.as_char() == ',');
        for branch in tokens.split(is_comma).filter(|branch| !branch.is_empty()) {
            self.read_segments(path.clone(), branch);
        }
    }

    /// Records the file that holds the longest module at the start of a path.
    fn import(&mut self, path: &Module) {
        let mut lengths = (0..=path.len()).rev();
        let file = lengths.find_map(|length| self.file_of.get(path.get(..length)?));
        self.imported.extend(file.map(|file| (*file).clone()));
    }
}

fn parent(module: &Module) -> Module {
    module
        .iter()
        .take(module.len().saturating_sub(1))
        .cloned()
        .collect()
}

fn after_colons(tokens: &[TokenTree]) -> Option<&[TokenTree]> {
    match tokens {
        [TokenTree::Punct(one), TokenTree::Punct(two), rest @ ..]
            if one.as_char() == ':' && two.as_char() == ':' =>
        {
            Some(rest)
        }
        _ => None,
    }
}

fn skip_segments(mut tokens: &[TokenTree]) -> &[TokenTree] {
    while let [TokenTree::Ident(_), after @ ..] = tokens {
        match after_colons(after) {
            Some(more) => tokens = more,
            None => return after,
        }
    }
    tokens
}

/// Is it `[cfg(test)]`, without the brackets?
fn is_test(attribute: &Group) -> bool {
    let text: String = attribute.stream().to_string().split_whitespace().collect();
    text == "cfg(test)"
}

/// What follows an item: tests may import what they like.
fn after_item(tokens: &[TokenTree]) -> &[TokenTree] {
    let ends = |token: &TokenTree| match token {
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
        TokenTree::Punct(punct) => punct.as_char() == ';',
        _ => false,
    };
    let end = tokens.iter().position(ends).map_or(tokens.len(), |end| end + 1);
    tokens.get(end..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn imports(files: &[(&str, &str)]) -> Imports {
        let files = files
            .iter()
            .map(|(file, text)| ((*file).to_owned(), (*text).to_owned()));
        Imports::of(&files.collect()).expect("valid tokens")
    }

    #[test]
    fn files_that_import_each_other_are_named() {
        let cyclic = imports(&[
            (
                "lib.rs",
                "pub mod a; pub mod cache { pub mod index; pub mod owned; }",
            ),
            ("a.rs", "use crate::cache::index::Index; use std::fmt;"),
            (
                "cache/index.rs",
                "use super::owned::{Owned, version_of}; pub struct Key;",
            ),
            (
                "cache/owned.rs",
                "fn key() -> crate::cache::index::Key { json!(crate::cache::index::Key) }",
            ),
        ]);
        let cycles = cyclic.cycles();
        assert_eq!(
            cycles,
            [
                "2 files import each other in a cycle; move what they share into a file that imports none of them:\n  \
              cache/index.rs imports cache/owned.rs\n  cache/owned.rs imports cache/index.rs"
            ]
        );
    }

    #[test]
    fn a_parent_that_uses_its_child_must_not_be_used_by_it() {
        let parent = "mod news; fn report() { news::record() }";
        let by_super = imports(&[("report.rs", parent), ("report/news.rs", "use super::leave;")]);
        assert_eq!(by_super.cycles().len(), 1);
        let apart = imports(&[
            ("report.rs", parent),
            ("report/news.rs", "use crate::events::Events;"),
        ]);
        assert_eq!(apart.cycles(), [""; 0]);
    }

    #[test]
    fn tests_comments_and_declarations_import_nothing() {
        let imports = imports(&[
            ("lib.rs", "pub mod a; pub mod b;"),
            (
                "a.rs",
                "/// See crate::b::B.\nfn a() { let b = \"crate::b\"; }\n#[cfg(test)]\nmod tests { use crate::b::B; }",
            ),
            ("b.rs", "use crate::a::a; pub(crate) struct B;"),
        ]);
        assert_eq!(imports.cycles(), [""; 0]);
    }

    #[test]
    fn an_import_of_a_later_layer_is_named() {
        let imports = imports(&[
            (
                "cache/index.rs",
                "use crate::reconcile::outcome::Outcome; use crate::key::Key;",
            ),
            ("reconcile/outcome.rs", "use crate::cache::listed::Listed;"),
            ("cache/listed.rs", ""),
            ("key.rs", ""),
        ]);
        assert_eq!(
            imports.upward(&["cache", "reconcile"]),
            [
                "cache/index.rs imports reconcile/outcome.rs, which is in a later layer (layers: cache, reconcile); pass it \
              what it needs instead"
            ]
        );
    }
}
