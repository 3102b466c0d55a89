//! What a container runtime asks of a chained plugin. `ADD` writes the capture rules into the pod's network namespace where the pod's
//! annotation asks for them, and passes on what the plugins before it have done; all else needs nothing. It must not know how rules are
//! made.
//!
//! Source: CNI specification 1.1.0, "Execution protocol".

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::ExitCode;

use mesh_capture::CaptureOptions;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde_json::{Value, json};

use crate::conf::ANNOTATIONS;

/// The annotation of injected pods with the flags of capture.
const WANTED: &str = "amime.io/cni";
/// The longest annotation that is read.
const MAX_FLAGS: usize = 16 * 1024;
/// The largest configuration.
const MAX_CONF: u64 = 4 * 1024 * 1024;
/// Versions of the protocol, which are one to a plugin that passes results on.
const VERSIONS: [&str; 5] = ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];

/// What the runtime asks, as its environment says.
#[derive(Debug)]
pub(crate) struct Command {
    what: String,
    namespace: String,
}

/// `None`: no runtime calls.
pub(crate) fn command() -> Option<Command> {
    #[allow(clippy::disallowed_methods, reason = "the environment is the interface of a plugin")]
    let variable = |name: &str| std::env::var(name).ok();
    Some(Command { what: variable("CNI_COMMAND")?, namespace: variable("CNI_NETNS").unwrap_or_default() })
}

/// A failure as the protocol tells it.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
struct Failure {
    code: u32,
    message: String,
}

/// Codes of the specification, and one of ours.
const INCOMPATIBLE: u32 = 1;
const UNDECODABLE: u32 = 6;
const INVALID: u32 = 7;
const OURS: u32 = 100;

/// Answers on standard output.
pub(crate) fn run(command: &Command) -> ExitCode {
    let mut text = String::new();
    let read = std::io::stdin().lock().take(MAX_CONF).read_to_string(&mut text);
    let conf = read.map_err(|error| error.to_string());
    let conf = conf.and_then(|_| serde_json::from_str::<Value>(&text).map_err(|error| error.to_string()));
    let conf = conf.map_err(|message| Failure { code: UNDECODABLE, message });
    let version =
        conf.as_ref().ok().and_then(|conf| conf.get("cniVersion")?.as_str()).unwrap_or("1.0.0").to_owned();
    let answer = conf.and_then(|conf| answer(command, &conf));
    let (answer, code) = match answer {
        Ok(answer) => (answer, ExitCode::SUCCESS),
        Err(Failure { code, message }) => {
            let answer =
                json!({ "cniVersion": version, "code": code, "msg": format!("mesh-cni: {message}") });
            (Some(answer), ExitCode::FAILURE)
        }
    };
    if let Some(answer) = answer {
        // A runtime that went away does not read.
        std::io::stdout().write_all(format!("{answer}\n").as_bytes()).ok();
    }
    code
}

fn answer(command: &Command, conf: &Value) -> Result<Option<Value>, Failure> {
    match command.what.as_str() {
        "ADD" => {
            if let Some(options) = wanted(conf)? {
                capture(&command.namespace, &options)?;
            }
            passed_on(conf).map(Some)
        }
        "VERSION" => Ok(Some(json!({ "cniVersion": "1.1.0", "supportedVersions": VERSIONS }))),
        // The rules go with the network namespace, and are whole or not there.
        "DEL" | "CHECK" | "GC" | "STATUS" => Ok(None),
        other => Err(Failure { code: 4, message: format!("CNI_COMMAND is `{other}`") }),
    }
}

/// What the plugins before have done.
fn passed_on(conf: &Value) -> Result<Value, Failure> {
    let version = conf.get("cniVersion").and_then(Value::as_str).unwrap_or_default();
    if !VERSIONS.contains(&version) {
        return Err(Failure { code: INCOMPATIBLE, message: format!("cniVersion `{version}` is not known") });
    }
    conf.get("prevResult").cloned().ok_or_else(|| Failure {
        code: INVALID,
        message: "there is no prevResult: this plugin comes after another one".to_owned(),
    })
}

/// What the pod asks for; `None`: it is not ours to capture.
fn wanted(conf: &Value) -> Result<Option<CaptureOptions>, Failure> {
    let annotations = conf.get("runtimeConfig").and_then(|config| config.get(ANNOTATIONS));
    let Some(flags) = annotations.and_then(|all| all.get(WANTED)).and_then(Value::as_str) else {
        return Ok(None);
    };
    let wrong = |why: &str| Failure { code: INVALID, message: format!("annotation {WANTED}: {why}") };
    if flags.len() > MAX_FLAGS {
        return Err(wrong("is too long"));
    }
    let words = flags.split_ascii_whitespace().map(str::to_owned);
    mesh_proxy::cli::capture_options(words).map(Some).map_err(|error| wrong(&error))
}

/// Writes the rules. This process has one thread, and ends after it.
fn capture(namespace: &str, options: &CaptureOptions) -> Result<(), Failure> {
    let failed =
        |what: &dyn std::fmt::Display| Failure { code: OURS, message: format!("{namespace}: {what}") };
    let file = File::open(Path::new(namespace)).map_err(|error| failed(&error))?;
    move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
        .map_err(|error| failed(&error))?;
    mesh_capture::apply(options).map_err(|error| {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        failed(&format_args!("{error}{cause}"))
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(what: &str, conf: &Value) -> Result<Option<Value>, Failure> {
        answer(&Command { what: what.to_owned(), namespace: "/nowhere".to_owned() }, conf)
    }

    fn conf(annotations: Value) -> Value {
        json!({
            "cniVersion": "1.0.0", "name": "net", "type": "mesh-cni",
            "prevResult": { "ips": [{ "address": "10.0.0.2/24" }] },
            "runtimeConfig": { ANNOTATIONS: annotations },
        })
    }

    #[test]
    fn a_pod_that_does_not_ask_gets_what_was_done_before() {
        for annotations in [json!({}), Value::Null, json!({ "example.com/x": "y" })] {
            let answer = asked("ADD", &conf(annotations)).unwrap().unwrap();
            assert_eq!(answer, json!({ "ips": [{ "address": "10.0.0.2/24" }] }));
        }
        for what in ["DEL", "CHECK", "GC", "STATUS"] {
            assert_eq!(asked(what, &json!({})).unwrap(), None);
        }
        assert!(asked("VERSION", &json!({})).unwrap().unwrap()["supportedVersions"].is_array());
    }

    #[test]
    fn what_a_pod_asks_for_is_read_as_flags_of_capture() {
        let options = wanted(&conf(json!({ WANTED: "--proxy-uid 1337 --dns --exclude-outbound-port 25" })))
            .unwrap()
            .unwrap();
        assert_eq!(options.proxy.uids, [1337]);
        assert_eq!(options.dns_port, Some(15053));
        assert_eq!(options.exclude.outbound_ports.len(), 1);
        for bad in ["--proxy-uid x", "--no-such-flag", "--undo", "; rm -rf /"] {
            let why = wanted(&conf(json!({ WANTED: bad }))).unwrap_err();
            assert!(why.message.starts_with("annotation amime.io/cni: "), "{bad}: {why}");
        }
        let long = "--dns ".repeat(10_000);
        assert!(wanted(&conf(json!({ WANTED: long }))).unwrap_err().message.ends_with("is too long"));
    }

    #[test]
    fn a_pod_whose_rules_cannot_be_written_does_not_start() {
        let why = asked("ADD", &conf(json!({ WANTED: "--proxy-uid 1337" }))).unwrap_err();
        assert_eq!(why.code, OURS);
        assert!(why.message.starts_with("/nowhere: "), "{why}");
    }

    #[test]
    fn it_is_no_network_by_itself() {
        assert_eq!(asked("ADD", &json!({ "cniVersion": "1.0.0" })).unwrap_err().code, INVALID);
        assert_eq!(asked("ADD", &json!({ "cniVersion": "9" })).unwrap_err().code, INCOMPATIBLE);
        assert_eq!(asked("DANCE", &json!({})).unwrap_err().code, 4);
    }
}
