//! Running other programs so that a failure tells what the program said.

use std::process::{Command, Output};

use anyhow::{Context, Result, bail};

/// Runs `command` to its end and returns its standard output; an error carries its standard error.
pub fn run(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let Output { status, stdout, stderr } =
        command.output().with_context(|| format!("could not run \"{program}\""))?;
    if !status.success() {
        bail!(
            "\"{program}\" failed with {status}\n{}{}",
            String::from_utf8_lossy(&stdout),
            String::from_utf8_lossy(&stderr)
        );
    }
    Ok(String::from_utf8_lossy(&stdout).into_owned())
}
