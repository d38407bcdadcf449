//! The README points at files that exist.

use std::fs;

use anyhow::{Context, Result};

use crate::{outcome::Outcome, root};

/// Runs the task; one check is one relative link, or one path in backticks below `crates`, `shaders`, `tests` or
/// `xtask`. True if nothing failed.
pub fn run() -> Result<bool> {
    let path = root().join("README.md");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut outcome = Outcome::default();
    for target in targets(&text) {
        let exists = root().join(&target).exists();
        if !exists {
            println!("README.md: `{target}` does not exist");
        }
        outcome.count(exists);
    }
    outcome.close();
    Ok(outcome.failed == 0)
}

fn targets(text: &str) -> Vec<String> {
    let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let local = |link: &&str| !link.contains("://") && !link.starts_with('#') && !link.starts_with("mailto:");
    let links = links.filter(local).map(|link| link.split('#').next().unwrap_or(link).to_owned());
    let quoted = text.split('`').skip(1).step_by(2).filter(|word| {
        let below = ["crates/", "shaders/", "tests/", "xtask/"].iter().any(|folder| word.starts_with(folder));
        below && !word.contains([' ', '*', '<', '{', '\n'])
    });
    links.chain(quoted.map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_and_paths_are_found() {
        let text = "[a](docs/a.md#part) [b](https://x.org) [c](#c) `crates/gpu` `cargo run` `crates/*/src` `shaders/`";
        assert_eq!(targets(text), ["docs/a.md", "crates/gpu", "shaders/"]);
    }
}
