//! Debian's packages that the tests need: installed where we are root, else named to whoever is.

use std::{path::Path, time::Instant};

use anyhow::Result;

use crate::{
    process::{command, finish, succeeds},
    stage::Outcome,
};

/// A program that the tests run, how to see that it is there, and the package that brings it.
struct Need {
    package: &'static str,
    program: &'static str,
    arguments: &'static [&'static str],
}

const NEEDS: &[Need] = &[
    Need { package: "curl", program: "curl", arguments: &["--version"] },
    // The tour needs the OpenBSD kind: it speaks to Unix paths and ends at the end of its input.
    Need { package: "netcat-openbsd", program: "sh", arguments: &["-c", "nc -h 2>&1 | grep -q OpenBSD"] },
    Need { package: "openssl", program: "openssl", arguments: &["version"] },
    Need { package: "nodejs", program: "node", arguments: &["--version"] },
    Need { package: "npm", program: "npm", arguments: &["--version"] },
    Need { package: "python3-venv", program: "python3", arguments: &["-c", "import ensurepip, venv"] },
];

/// Installs what is missing. Nothing is asked of the network where nothing is missing.
pub fn install(root: &Path, deadline: Instant) -> Result<Outcome> {
    let missing: Vec<&str> = NEEDS
        .iter()
        .filter(|need| !succeeds(need.program, need.arguments))
        .map(|need| need.package)
        .collect();
    if missing.is_empty() {
        return Ok(Outcome::passed("all there"));
    }
    let packages = missing.join(" ");
    if !is_root() || !succeeds("apt-get", &["--version"]) {
        return Ok(Outcome::failed(format!(
            "missing: {packages}\nAs root on Debian: apt-get install {packages}\nElsewhere install what these \
             packages bring, then run this again.\n"
        )));
    }
    let mut update = command(root, "apt-get", "update -q");
    update.env("DEBIAN_FRONTEND", "noninteractive");
    let updated = finish(update, deadline)?;
    let mut install = command(root, "apt-get", "install -q -y --no-install-recommends");
    install.args(&missing).env("DEBIAN_FRONTEND", "noninteractive");
    let mut installed = finish(install, deadline)?;
    if !updated.success {
        // Old lists may be good enough; where they are not, the cause comes first.
        installed.output = updated.output + &installed.output;
    }
    Ok(Outcome::of(installed, format!("installed {packages}")))
}

fn is_root() -> bool {
    succeeds("sh", &["-c", "test \"$(id -u)\" = 0"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_package_is_asked_for_once() {
        let mut names: Vec<_> = NEEDS.iter().map(|need| need.package).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), NEEDS.len());
    }
}
