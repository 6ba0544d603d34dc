//! The foreign clients that judge Wharf: npm and PyPI packages of exact versions, each in a place of its own
//! below `target/judges`, so that nothing of the user's is touched.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use anyhow::{Context, Result};

use crate::{
    process::{command, finish},
    stage::Outcome,
};

/// Names the file that records what a folder was installed from.
const STAMP: &str = "installed-from.txt";

/// Where the JavaScript packages are.
pub fn javascript(root: &Path) -> PathBuf {
    root.join("target/judges/js")
}

/// Where the Python environment is.
pub fn python(root: &Path) -> PathBuf {
    root.join("target/judges/python")
}

/// Where the tests with foreign clients count their checks, a line for each suite.
pub fn checks(root: &Path) -> PathBuf {
    root.join("target/judges/checks.txt")
}

/// Installs what the manifests in `judges/` name. A folder that was installed from the same manifests is left
/// as it is.
pub fn install(root: &Path, deadline: Instant) -> Result<Outcome> {
    let mut notes = Vec::new();
    for (language, outcome) in
        [("javascript", install_javascript(root, deadline)?), ("python", install_python(root, deadline)?)]
    {
        if outcome.failure.is_some() {
            return Ok(outcome);
        }
        notes.push(format!("{language} {}", outcome.note));
    }
    Ok(Outcome::passed(notes.join(", ")))
}

fn install_javascript(root: &Path, deadline: Instant) -> Result<Outcome> {
    let (from, to) = (root.join("judges/js"), javascript(root));
    let manifests = ["package.json", "package-lock.json"];
    installed_once(&from, &to, &manifests, || {
        fs::create_dir_all(&to)?;
        for name in manifests {
            fs::copy(from.join(name), to.join(name))?;
        }
        let install = command(&to, "npm", "ci --ignore-scripts --no-audit --no-fund");
        Ok(Outcome::of(finish(install, deadline)?, "installed"))
    })
}

/// Installs the Python packages alone.
pub fn install_python(root: &Path, deadline: Instant) -> Result<Outcome> {
    let (from, to) = (root.join("judges/python"), python(root));
    installed_once(&from, &to, &["requirements.txt"], || {
        let mut make = command(root, "python3", "-m venv --clear");
        make.arg(&to);
        let made = finish(make, deadline)?;
        if !made.success {
            return Ok(Outcome::failed(made.output));
        }
        let mut install = Command::new(to.join("bin/pip"));
        install.args(["install", "--quiet", "--disable-pip-version-check", "--no-input", "--requirement"]);
        install.arg(from.join("requirements.txt"));
        Ok(Outcome::of(finish(install, deadline)?, "installed"))
    })
}

/// Calls `install` unless `to` was installed from manifests with the same content.
fn installed_once(
    from: &Path,
    to: &Path,
    manifests: &[&str],
    install: impl FnOnce() -> Result<Outcome>,
) -> Result<Outcome> {
    let mut content = String::new();
    for name in manifests {
        let path = from.join(name);
        content += &fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    }
    let stamp = to.join(STAMP);
    if fs::read_to_string(&stamp).is_ok_and(|before| before == content) {
        return Ok(Outcome::passed("there already"));
    }
    let outcome = install()?;
    if outcome.failure.is_none() {
        fs::write(&stamp, content).with_context(|| format!("cannot write {}", stamp.display()))?;
    }
    Ok(outcome)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn installs_again_only_when_a_manifest_changes() {
        let folder = std::env::temp_dir().join(format!("wharf-xtask-judges-{}", std::process::id()));
        let (from, to) = (folder.join("from"), folder.join("to"));
        fs::create_dir_all(&from).expect("a folder for the manifests");
        fs::create_dir_all(&to).expect("a folder to install into");
        let mut runs = 0;
        let mut install = |content: &str| {
            fs::write(from.join("manifest"), content).expect("the manifest is written");
            installed_once(&from, &to, &["manifest"], || {
                runs += 1;
                Ok(Outcome::passed("installed"))
            })
            .expect("nothing here can fail");
        };
        install("version 1");
        install("version 1");
        install("version 2");
        fs::remove_dir_all(&folder).expect("the folder is removed");
        assert_eq!(runs, 2);
    }
}
