//! A test that needs the guest's kernel: it runs its own program once more, in there.
//! Refuses to know what the test does with that kernel.

use std::{
    env,
    fs::{self, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use super::{Uml, UmlError, any_alignment, system};

/// Tells a test program that it is in the guest.
const GUEST: &str = "LB_IN_GUEST";

/// Open files that a test in the guest may have: both ends of all connections are its own.
const OPEN_FILES: u32 = 65_536;

/// A test of the program that runs, which has its work done in the guest.
#[derive(Clone, Copy, Debug)]
pub struct GuestTest<'a> {
    /// The test program, as cargo calls it, for messages.
    pub program: &'a str,
    /// The test in it, as libtest calls it.
    pub name: &'a str,
    /// A directory that outlives the run: `CARGO_TARGET_TMPDIR`.
    pub directory: &'a str,
    /// What `modprobe` loads before.
    pub modules: &'a [&'a str],
    /// Programs beyond the lab's own, each the name of its Debian package, too.
    pub programs: &'a [&'a str],
    /// How long the guest may take; its boot takes 3 s of it.
    pub deadline: Duration,
}

impl GuestTest<'_> {
    /// In the guest: true, and the caller does its work. Outside: runs the test in the guest and shows what it
    /// said; false, once it has succeeded there, or can't be had here and has said so by its name.
    ///
    /// # Errors
    /// [`UmlError::Failed`] where the test failed in the guest, or what kept it from ending.
    pub fn is_in_guest(&self) -> Result<bool, UmlError> {
        if env::var_os(GUEST).is_some() {
            return Ok(true);
        }
        let missing = self.programs.iter().find(|program| !is_installed(program));
        let ran = match missing {
            None => self.run(),
            Some(program) => Err(UmlError::NoProgram((*program).to_owned())),
        };
        match ran {
            Ok(()) => Ok(false),
            Err(error @ (UmlError::NoPackage(_) | UmlError::NoBoot { .. } | UmlError::NoProgram(_))) => {
                self.skip(&error.to_string()).map(|()| false)
            }
            Err(error) => Err(error),
        }
    }

    fn run(&self) -> Result<(), UmlError> {
        /// Tests of one program may come here at once, and one of them fetches.
        static FETCHING: Mutex<()> = Mutex::new(());

        let directory = Path::new(self.directory).join("user-mode-linux");
        let fetching = FETCHING.lock().unwrap_or_else(PoisonError::into_inner);
        let uml = Uml::fetched(&directory)?;
        drop(fetching);

        let this = env::current_exe().map_err(system("find this test's program"))?;
        let preloaded = tempfile::Builder::new()
            .prefix("preloaded-")
            .tempdir_in(&directory)
            .map_err(system(format!("make a directory in {}", directory.display())))?;
        let library = any_alignment(preloaded.path())?;
        let lines = [
            "uname -r".to_owned(),
            format!("modprobe -a {} || exit", self.modules.join(" ")),
            format!("ulimit -n {OPEN_FILES}"),
            format!("export {GUEST}=1 LB_BIN={}", quoted(&lb(&this)?)),
            format!("export LD_PRELOAD={}", quoted(&library)),
            format!("exec {} --exact {} --nocapture", quoted(&this), self.name),
        ];
        // Indented: whoever counts this program's tests doesn't count the guest's.
        let show = |output: &str| output.lines().for_each(|line| println!("    {line}"));
        let ran = uml.run(&lines.join("\n"), self.deadline).inspect_err(|error| {
            if let UmlError::TooSlow { output, .. } = error {
                show(output);
            }
        })?;
        show(&ran.output);
        // A filter that fits no test is a success too.
        if ran.status == 0 && ran.output.contains("1 passed") {
            return Ok(());
        }
        Err(UmlError::Failed { status: ran.status })
    }

    /// Says that this machine can't run the test, and why; what collects such lines names its file in the
    /// environment.
    fn skip(&self, why: &str) -> Result<(), UmlError> {
        let line = format!("{}::{}: {}", self.program, self.name, why.replace('\n', " "));
        println!("skipped: {line}");
        let Some(path) = env::var_os("LB_SKIPPED") else { return Ok(()) };
        let opened = OpenOptions::new().create(true).append(true).open(&path);
        opened
            .and_then(|mut reports| writeln!(reports, "{line}"))
            .map_err(system(format!("write {}", path.display())))
    }
}

/// The binary under test, by its whole path: what the environment names, or what was built beside this program.
fn lb(this: &Path) -> Result<PathBuf, UmlError> {
    let beside = || this.ancestors().nth(2).unwrap_or(this).join("lb");
    let path = env::var_os("LB_BIN").map_or_else(beside, PathBuf::from);
    let what = format!("find {}, which `cargo xtask build` makes", path.display());
    fs::canonicalize(&path).map_err(system(what))
}

/// Root's programs are missing in some paths.
fn is_installed(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let roots = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    env::split_paths(&path).chain(roots).any(|directory| directory.join(program).is_file())
}

fn quoted(path: &Path) -> String {
    format!("'{}'", path.to_string_lossy().replace('\'', r"'\''"))
}
