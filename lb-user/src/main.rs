//! The command `lb`. All of it is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    lb_user::cli::main()
}
