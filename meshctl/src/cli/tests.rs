//! The help of every command as users see it, and what the command line refuses.

use clap::CommandFactory;

use super::*;

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn help_of_every_command() {
    let mut cli = Cli::command().term_width(100);
    cli.build();
    insta::assert_snapshot!("help", cli.render_long_help());
    for command in cli.get_subcommands_mut() {
        insta::assert_snapshot!(format!("help_{}", command.get_name()), command.render_long_help());
    }
}

#[test]
fn a_mesh_name_cannot_leave_its_folder() {
    for name in ["../x", "a/b", "", ".", "A"] {
        assert!(Cli::try_parse_from(["meshctl", "--mesh", name, "up"]).is_err(), "{name:?}");
    }
    assert!(Cli::try_parse_from(["meshctl", "--mesh", "two", "up"]).is_ok());
}

#[test]
fn hidden_parts_are_not_in_the_help() {
    let help = Cli::command().render_long_help().to_string();
    assert!(!help.contains("__"), "{help}");
}

/// Advice that names a command that does not exist would be worse than none.
#[test]
fn every_command_that_a_failure_advises_exists() {
    let cli = Cli::command();
    let known: Vec<&str> = cli.get_subcommands().map(clap::Command::get_name).collect();
    for failure in mesh_model::failure::Failure::ALL {
        let spans = [failure.cause(), failure.remedy()].into_iter().flat_map(output::text::code_spans);
        for command in spans.filter_map(|span| span.strip_prefix("meshctl ")) {
            let name = command.split_whitespace().next().unwrap_or_default();
            assert!(known.contains(&name), "{}: `meshctl {command}`", failure.code());
        }
    }
}
