//! Keeps modules from importing each other in circles.
//!
//! The modules of a folder, each with everything below it, are the nodes of a graph. A path of one
//! that leads into another is an arrow: `crate::…`, `self::…`, `super::…`, or a name that such a path
//! has brought in. No folder may have a circle in its graph. Paths between a module and what is above
//! or below it do not count: a module and its parts are one piece. A path to a name that a module only
//! passes on (`pub use`) leads to where the name comes from. Tests do not count: they may use anything.

use std::collections::{BTreeMap, BTreeSet};

use super::{Source, assert_none, code_lines, sources};

/// Names of the modules from the root of the package.
type Module = Vec<String>;
/// A path in the code, by its segments.
type Segments = Vec<String>;

/// Files that are the root of their package.
const ROOTS: [&str; 2] = ["lib", "main"];

/// Longest chain of names passed on that is followed; longer ones would lead in circles themselves.
const PASSED_ON_MAX: usize = 8;

/// The code of one module, and the names that it brings in.
#[derive(Default)]
struct Code {
    /// Code without tests, comments and imports.
    text: String,
    /// Each imported path with the name that it has here.
    imports: Vec<(Segments, String)>,
}

/// The modules of one package.
struct Package {
    modules: BTreeMap<Module, Code>,
}

/// An arrow between two modules of a folder, with the path that is an example of it.
type Arrows = BTreeMap<(Module, Module), String>;

impl Package {
    fn of<'a>(sources: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let mut modules: BTreeMap<Module, Code> = BTreeMap::new();
        for (path, text) in sources {
            let path = path.trim_end_matches(".rs");
            let is_test = |name: &str| name == "tests" || name.ends_with("_tests");
            if path.split('/').any(is_test) {
                continue;
            }
            let module = if ROOTS.contains(&path) {
                Vec::new()
            } else {
                path.split('/').map(str::to_owned).collect()
            };
            let code = modules.entry(module).or_default();
            code.read(text);
        }
        Self { modules }
    }

    /// Follows a path from a module to the module that has the name.
    fn resolve(&self, from: &[String], path: &[String]) -> Option<Module> {
        self.resolve_within(from, path, PASSED_ON_MAX)
    }

    fn resolve_within(&self, from: &[String], path: &[String], left: usize) -> Option<Module> {
        let (mut at, mut rest) = self.begin(from, path)?;
        while let Some((next, after)) = rest.split_first() {
            let child = [at.as_slice(), std::slice::from_ref(next)].concat();
            if !self.modules.contains_key(&child) {
                break;
            }
            (at, rest) = (child, after);
        }

        let Some((name, after)) = rest.split_first() else { return Some(at) };
        let imports = &self.modules.get(&at)?.imports;
        let passed_on = imports.iter().find(|(_, known)| known == name);
        if let Some((source, _)) = passed_on
            && left > 0
        {
            let onward = [source.as_slice(), after].concat();
            return self.resolve_within(&at, &onward, left - 1).or(Some(at));
        }
        Some(at)
    }

    /// Returns the module where a path begins, and what is left of the path; nothing if it leads out
    /// of the package.
    fn begin<'a>(&self, from: &[String], path: &'a [String]) -> Option<(Module, &'a [String])> {
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" => Some((Vec::new(), rest)),
            "self" => Some((from.to_vec(), rest)),
            "super" => {
                let above = from.split_last()?.1;
                match rest.first().map(String::as_str) {
                    Some("super") => self.begin(above, rest),
                    Some(_) | None => Some((above.to_vec(), rest)),
                }
            }
            _ => {
                let child = [from, std::slice::from_ref(first)].concat();
                self.modules.contains_key(&child).then(|| (from.to_vec(), path))
            }
        }
    }

    /// Returns the arrows of every folder, by the module that the folder belongs to.
    fn arrows(&self) -> BTreeMap<Module, Arrows> {
        let mut folders: BTreeMap<Module, Arrows> = BTreeMap::new();
        for (module, code) in &self.modules {
            for path in code.paths() {
                let Some(target) = self.resolve(module, &path) else { continue };
                let same = module.iter().zip(&target).take_while(|(a, b)| a == b).count();
                if same == module.len().min(target.len()) {
                    continue;
                }
                let side = |module: &Module| module.iter().take(same + 1).cloned().collect();
                let folder = module.iter().take(same).cloned().collect();
                let arrows = folders.entry(folder).or_default();
                let example = format!("{} uses {}", module.join("/"), path.join("::"));
                arrows.entry((side(module), side(&target))).or_insert(example);
            }
        }
        folders
    }

    /// Returns an example of each arrow that is part of a circle.
    fn circles(&self) -> Vec<String> {
        let mut found = Vec::new();
        for arrows in self.arrows().values() {
            for ((from, to), example) in arrows {
                if reaches(arrows, to, from) {
                    found.push(example.clone());
                }
            }
        }
        found
    }
}

/// Tells whether arrows lead from one module to another.
fn reaches(arrows: &Arrows, from: &Module, to: &Module) -> bool {
    let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
    while let Some(module) = open.pop() {
        if module == to {
            return true;
        }
        if seen.insert(module) {
            open.extend(arrows.keys().filter(|(from, _)| from == module).map(|(_, to)| to));
        }
    }
    false
}

impl Code {
    fn read(&mut self, text: &str) {
        let mut lines = without_tests(text).into_iter();
        while let Some(line) = lines.next() {
            let Some(import) = import_of(&line) else {
                self.text.push_str(&line);
                self.text.push('\n');
                continue;
            };
            let mut tree = import.to_owned();
            while !tree.contains(';') {
                let Some(more) = lines.next() else { break };
                tree.push_str(more.trim());
            }
            let tree = tree.split(';').next().unwrap_or_default();
            read_tree(&[], tree, &mut self.imports);
        }
    }

    /// Returns every path that may lead to another module of the package.
    fn paths(&self) -> impl Iterator<Item = Segments> {
        let imported = self.imports.iter().map(|(path, _)| path.clone());
        let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
        let words = self.text.split(move |c: char| !is_part(c)).filter(|word| word.contains("::"));
        let written = words.filter_map(|word| {
            let path = word.trim_end_matches(':').split("::").map(str::to_owned);
            let path = path.collect::<Segments>();
            let first = path.first()?;
            if matches!(first.as_str(), "crate" | "self" | "super") {
                return Some(path);
            }
            let (source, _) = self.imports.iter().find(|(_, known)| known == first)?;
            Some([source.as_slice(), path.get(1..)?].concat())
        });
        imported.chain(written)
    }
}

/// Returns the lines of code before the tests, without items that only tests have.
fn without_tests(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut is_skipping = false;
    for (_, line) in code_lines(text) {
        if line == "#[cfg(test)]" {
            is_skipping = true;
        } else if is_skipping {
            // Modules of tests are the last in a file; other items are short.
            if line.starts_with("mod tests {") {
                break;
            }
            is_skipping = !(line.ends_with(';') || line == "}");
        } else {
            found.push(line.to_owned());
        }
    }
    found
}

/// Returns what follows `use` in a line that begins an import.
fn import_of(line: &str) -> Option<&str> {
    let line = match line.strip_prefix("pub") {
        Some(rest) if rest.starts_with('(') => rest.split_once(')')?.1.trim_start(),
        Some(rest) => rest.trim_start(),
        None => line,
    };
    line.strip_prefix("use ")
}

/// Reads the paths in a tree of imports.
fn read_tree(above: &[String], tree: &str, found: &mut Vec<(Segments, String)>) {
    let tree = tree.trim();
    if let Some(group) = tree.strip_prefix('{').and_then(|tree| tree.strip_suffix('}')) {
        let mut depth = 0_usize;
        let at_top = |c: char| {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            c == ',' && depth == 0
        };
        for part in group.split(at_top).filter(|part| !part.trim().is_empty()) {
            read_tree(above, part, found);
        }
        return;
    }
    if let Some((first, rest)) = tree.split_once("::") {
        let above = [above, &[first.trim().to_owned()]].concat();
        return read_tree(&above, rest, found);
    }

    let (name, alias) = tree.split_once(" as ").unwrap_or((tree, tree));
    let (name, alias) = (name.trim(), alias.trim());
    let path = match name {
        "self" => above.to_vec(),
        name => [above, &[name.to_owned()]].concat(),
    };
    let alias = match alias {
        "self" => path.last().cloned().unwrap_or_default(),
        alias => alias.to_owned(),
    };
    found.push((path, alias));
}

/// Returns the packages, each with the sources below its `src`.
fn packages(sources: &[Source]) -> BTreeMap<String, Vec<(&str, &str)>> {
    let mut packages: BTreeMap<String, Vec<(&str, &str)>> = BTreeMap::new();
    for source in sources {
        let Some((package, path)) = source.path.split_once("/src/") else { continue };
        packages.entry(package.to_owned()).or_default().push((path, &source.text));
    }
    packages
}

#[test]
fn no_modules_import_each_other_in_a_circle() {
    let sources = sources();
    let mut found = Vec::new();
    for (name, sources) in packages(&sources) {
        let package = Package::of(sources.into_iter());
        found.extend(package.circles().into_iter().map(|example| format!("{name}: {example}")));
    }
    assert_none("imports that are part of a circle", &found);
}

fn circles(sources: &[(&str, &str)]) -> Vec<String> {
    Package::of(sources.iter().copied()).circles()
}

#[test]
fn circles_are_found_whichever_way_a_name_is_brought_in() {
    let parent = ("lib.rs", "mod a;\nmod b;\npub use a::A;");
    let a = ("a.rs", "use crate::b::{\n    c::{self, C},\n    D,\n};\npub struct A;");
    for b in [
        "use crate::A;",
        "use super::a;\nfn f(_: a::A) {}",
        "fn f() -> crate::a::A {}",
        "pub(crate) use crate::{a::A as Other, E};",
    ] {
        let found = circles(&[parent, a, ("b.rs", b), ("b/c.rs", "pub struct C;")]);
        assert_eq!(found.len(), 2, "{b}: {found:?}");
    }
}

#[test]
fn a_folder_is_one_piece_to_its_neighbors() {
    let found = circles(&[
        ("main.rs", "mod a; mod b;"),
        ("a/one.rs", "use crate::b::B;"),
        ("a/two.rs", "pub struct Two;"),
        ("b.rs", "use crate::a::two::Two;\npub struct B;"),
        ("a.rs", "mod one; mod two;"),
    ]);
    assert_eq!(found, ["a/one uses crate::b::B", "b uses crate::a::two::Two"]);
}

#[test]
fn parts_and_tests_make_no_circle() {
    let found = circles(&[
        ("lib.rs", "mod a; mod b;"),
        ("a.rs", "mod part;\nuse self::part::Part;\npub struct A;"),
        ("a/part.rs", "use super::A;\npub struct Part;"),
        ("b.rs", "use crate::a::A;\npub struct B;"),
        ("a/tests.rs", "use crate::b::B;"),
        ("a/other.rs", "#[cfg(test)]\nmod tests {\n    use crate::b::B;\n}"),
    ]);
    assert_eq!(found, Vec::<String>::new());
}
