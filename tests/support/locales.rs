//! Locales of the C library that the machine need not have.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::installation::Installation;
use crate::process::run;

/// A directory of compiled locales, gone with the value.
#[derive(Debug)]
pub struct Locales {
    directory: PathBuf,
}

impl Locales {
    /// Compiles a locale such as `en_US` for UTF-8, which is called `en_US.UTF-8` then.
    pub fn compile(installation: &Installation, name: &str) -> Result<Self> {
        let mut mktemp = installation.foreign_program(Path::new("mktemp"))?;
        let directory = run(mktemp.args(["-d", "-t", "pgmig-locales-XXXXXX"]))?;
        let locales = Locales { directory: PathBuf::from(directory.trim()) };
        let mut localedef = installation.foreign_program(Path::new("localedef"))?;
        localedef
            .args(["--no-archive", "-i", name, "-f", "UTF-8"])
            .arg(locales.directory.join(format!("{name}.UTF-8")));
        run(&mut localedef)?;
        Ok(locales)
    }

    /// Where the C library finds them: its `LOCPATH`.
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

impl Drop for Locales {
    fn drop(&mut self) {
        // A directory that is left behind harms nobody.
        let _ = fs::remove_dir_all(&self.directory);
    }
}
