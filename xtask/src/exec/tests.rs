//! Runs of real, small programs.

use super::*;

fn shell(script: &str, limit: Duration) -> Program {
    Program::new("sh", limit).arg("-c").arg(script)
}

const PLENTY: Duration = Duration::from_mins(1);

#[test]
fn output_and_exit_code_are_kept() {
    let captured = shell("echo out; echo err >&2; exit 3", PLENTY).capture().unwrap();
    assert_eq!(captured.status.code(), Some(3));
    assert_eq!((captured.stdout.as_str(), captured.stderr.as_str()), ("out\n", "err\n"));
}

#[test]
fn a_failed_command_shows_what_it_printed() {
    let error = shell("echo the reason >&2; exit 1", PLENTY).output().unwrap_err();
    assert!(error.to_string().contains("| the reason"), "{error}");
}

#[test]
fn a_program_past_its_limit_is_ended_with_its_children() {
    let error = shell("sleep 300 & sleep 300", Duration::from_millis(300)).capture().unwrap_err();
    assert!(error.to_string().contains("took longer"), "{error}");
}

#[test]
fn a_process_left_behind_is_an_error_that_names_it() {
    // While a process is between two programs it shows no environment, so the shell leaves once the second one runs.
    let leave = "setsid sleep 301 >/dev/null 2>&1 & until tr '\\0' ' ' </proc/$!/cmdline | grep -q '^sleep 301'; do :; done";
    let error = shell(leave, PLENTY).capture().unwrap_err();
    assert!(error.to_string().contains("left processes behind: s"), "{error}");
}

#[test]
fn a_background_program_is_waited_for_and_interrupted() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let mut program =
        shell("trap 'exit 7' INT; echo ready; while :; do sleep 0.1; done", PLENTY).background(&log).unwrap();
    program.wait_for("ready").unwrap();
    assert_eq!(program.interrupt().unwrap().code(), Some(7));
}

#[test]
fn a_background_program_that_ends_early_is_an_error_with_its_output() {
    let folder = tempfile::tempdir().unwrap();
    let mut program = shell("echo broken", PLENTY).background(&folder.path().join("log")).unwrap();
    let error = format!("{:#}", program.wait_for("ready").unwrap_err());
    assert!(error.contains("broken") && error.contains("instead"), "{error}");
}
