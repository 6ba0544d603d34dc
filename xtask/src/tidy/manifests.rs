//! The rules on `Cargo.toml` files.

use super::{Project, Rule, Violation};

/// All rules of this file.
pub const ALL: &[Rule] = &[crates_import_to_the_left, pure_crates_depend_on_no_world, dependencies_say_why];

/// The rooms of the house: each crate imports only those before it.
const ROOMS: [&str; 4] = ["wharf-proto", "wharf-core", "wharf", "wharf-server"];

/// What the first two crates may not depend on, beside their tests.
const WORLD: [&str; 8] = ["tokio", "mio", "socket2", "hyper", "hyper-util", "rustls", "libc", "getrandom"];

/// One dependency in a manifest.
struct Dependency<'a> {
    line: usize,
    name: &'a str,
    for_tests: bool,
}

/// The dependencies that a crate's manifest names, in every form that Cargo reads.
fn dependencies(manifest: &str) -> Vec<Dependency<'_>> {
    let mut section = "";
    let mut found = Vec::new();
    for (at, line) in manifest.lines().enumerate() {
        let line = line.trim();
        if let Some(header) = line.strip_prefix('[') {
            section = header.trim_end_matches(']');
            if let Some((kind, name)) = section.rsplit_once("dependencies.") {
                found.push(Dependency { line: at + 1, name, for_tests: kind.ends_with("dev-") });
            }
        } else if section.ends_with("dependencies") && !line.starts_with('#') {
            let name = line.split(['=', '.', ' ']).next().unwrap_or_default();
            if !name.is_empty() {
                found.push(Dependency {
                    line: at + 1,
                    name,
                    for_tests: section.ends_with("dev-dependencies"),
                });
            }
        }
    }
    found
}

fn crate_name(path: &str) -> Option<&str> {
    path.strip_prefix("crates/")?.strip_suffix("/Cargo.toml")
}

/// A crate depends only on those to its left, in its tests as well.
fn crates_import_to_the_left(project: &Project) -> Vec<Violation> {
    let mut found = Vec::new();
    for (path, manifest) in &project.manifests {
        let room = |name: &str| ROOMS.iter().position(|room| *room == name);
        let Some(here) = crate_name(path).and_then(room) else { continue };
        for dependency in dependencies(manifest) {
            if room(dependency.name).is_some_and(|there| there >= here) {
                found.push(Violation {
                    rule: "crates_import_to_the_left",
                    path: path.clone(),
                    line: dependency.line,
                    message: format!(
                        "{} must not depend on {}; each crate imports only those to its left of {}",
                        ROOMS[here],
                        dependency.name,
                        ROOMS.join(" -> ")
                    ),
                });
            }
        }
    }
    found
}

/// `wharf-proto` and `wharf-core` depend on no runtime and no socket.
fn pure_crates_depend_on_no_world(project: &Project) -> Vec<Violation> {
    let mut found = Vec::new();
    for (path, manifest) in &project.manifests {
        if !crate_name(path).is_some_and(|name| ROOMS[..2].contains(&name)) {
            continue;
        }
        for dependency in dependencies(manifest) {
            if !dependency.for_tests && WORLD.contains(&dependency.name) {
                found.push(Violation {
                    rule: "pure_crates_depend_on_no_world",
                    path: path.clone(),
                    line: dependency.line,
                    message: format!(
                        "{} belongs to the crate wharf; take its outcome as an argument",
                        dependency.name
                    ),
                });
            }
        }
    }
    found
}

/// Every dependency from outside says in a comment right above why it is there.
fn dependencies_say_why(project: &Project) -> Vec<Violation> {
    let mut found = Vec::new();
    let Some((path, manifest)) = project.manifests.iter().find(|(path, _)| path == "Cargo.toml") else {
        return found;
    };
    let lines: Vec<&str> = manifest.lines().collect();
    for dependency in dependencies(manifest) {
        let at = dependency.line - 1;
        let ours = lines[at].contains("path = ");
        let commented = at > 0 && lines[at - 1].trim_start().starts_with('#');
        if !ours && !commented {
            found.push(Violation {
                rule: "dependencies_say_why",
                path: path.clone(),
                line: dependency.line,
                message: format!("{} has no comment right above that says why it is there", dependency.name),
            });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(rule: Rule, path: &str, manifest: &str) -> Vec<usize> {
        let project = Project { manifests: vec![(path.into(), manifest.into())], ..Project::default() };
        rule(&project).iter().map(|violation| violation.line).collect()
    }

    #[test]
    fn an_import_to_the_right_is_found_in_every_form() {
        let rule = crates_import_to_the_left;
        let proto = "crates/wharf-proto/Cargo.toml";
        for planted in [
            "[dependencies]\nwharf-core.workspace = true",
            "[dependencies]\nwharf-core = { path = \"../wharf-core\" }",
            "[dev-dependencies]\nwharf = \"1\"",
            "\n[target.'cfg(unix)'.dependencies.wharf-server]\npath = \"x\"",
        ] {
            assert_eq!(found(rule, proto, planted), [2], "{planted}");
        }
        assert_eq!(
            found(rule, "crates/wharf/Cargo.toml", "[dependencies]\nwharf-core.workspace = true"),
            [0; 0]
        );
    }

    #[test]
    fn a_runtime_is_found_among_the_pure_crates_dependencies() {
        let rule = pure_crates_depend_on_no_world;
        let core = "crates/wharf-core/Cargo.toml";
        assert_eq!(found(rule, core, "[dependencies]\ntokio.workspace = true"), [2]);
        assert_eq!(found(rule, core, "[dev-dependencies]\ntokio.workspace = true"), [0; 0]);
    }

    #[test]
    fn a_dependency_without_a_reason_is_found() {
        let manifest =
            "[workspace.dependencies]\nwharf = { path = \"a\" }\n# Why.\nbytes = \"1\"\nserde = \"1\"\n";
        assert_eq!(found(dependencies_say_why, "Cargo.toml", manifest), [5]);
    }
}
