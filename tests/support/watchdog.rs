//! The end of a cluster, whatever ends the process that started it.
//!
//! A small shell reads from a pipe that only this process holds. When the pipe closes (the cluster
//! was dropped, or this process returned, panicked, was interrupted or killed) it stops the server
//! and removes the directory. It sits in a process group of its own, out of reach of Ctrl-C.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

use crate::installation::{Installation, run_as_server_user};

/// What the shell does; its arguments are the path of pg_ctl and the cluster's directory.
const SCRIPT: &str = r#"
read -r word
[ "$word" = keep ] && exit
"$1" -D "$2/data" -m immediate -w stop
rm -rf "$2"
"#;

/// The waiting shell.
#[derive(Debug)]
pub(crate) struct Watchdog {
    shell: Child,
}

impl Watchdog {
    /// Starts to watch over the cluster in `directory`, which need not run yet.
    pub(crate) fn start(installation: &Installation, directory: &Path) -> Result<Self> {
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", SCRIPT, "watchdog"])
            .arg(installation.bin_dir().join("pg_ctl"))
            .arg(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0);
        run_as_server_user(&mut command)?;
        let shell = command.spawn().context("could not start the watchdog")?;
        Ok(Watchdog { shell })
    }

    /// Lets the cluster live on without us.
    pub(crate) fn dismiss(mut self) -> Result<()> {
        if let Some(pipe) = self.shell.stdin.as_mut() {
            pipe.write_all(b"keep\n").context("could not dismiss the watchdog")?;
        }
        Ok(())
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        // Waiting closes the pipe first. There is nobody left to tell about a failure.
        let _ = self.shell.wait();
    }
}
