//! Whether what was seen is what a case wants. Pure.

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::conformance::case::{Call, Want};
use crate::conformance::reply::Reply;

use super::fails;

/// Part of a hundred by which shares may differ: three deviations of a hundred even draws and more.
const SLACK: u32 = 16;
/// What our controller calls itself.
const CONTROLLER: &str = "amime.io/mesh";

/// One call with one answer.
pub(super) fn call(call: &Call, replies: &[Reply], printed: &str) -> Result<()> {
    if let Some(text) = fails(call) {
        ensure!(printed.contains(text), "wanted a failure with `{text}`, got {}", last(printed));
        return Ok(());
    }
    all(call, replies, printed, 1)
}

/// Every answer is there and as wanted.
pub(super) fn all(call: &Call, replies: &[Reply], printed: &str, count: u32) -> Result<()> {
    let missing = count as usize - replies.len().min(count as usize);
    ensure!(missing == 0, "{missing} of {count} have no answer: {}", last(printed));
    for (at, reply) in replies.iter().enumerate() {
        for want in &call.want {
            one(*want, reply).with_context(|| format!("{} (request {})", call.url, at + 1))?;
        }
    }
    Ok(())
}

fn one(want: Want, reply: &Reply) -> Result<()> {
    let same = |what: &str, got: Option<&str>, wanted: &str| {
        ensure!(got == Some(wanted), "{what}: wanted `{wanted}`, got {got:?}");
        Ok(())
    };
    match want {
        Want::Code(code) => same("status", reply.field("StatusCode"), code),
        Want::Backend(name) => same("backend", reply.backend(), name),
        Want::Saw(field, value) => same(field, reply.field(field), value),
        Want::Sent(name, value) => {
            let got = reply.headers("RequestHeader", name).join(",");
            same(name, Some(&got), value)
        }
        Want::Got(name, value) => {
            let got = reply.headers("ResponseHeader", name).join(",");
            same(name, Some(&got), value)
        }
        Want::NotSent(name) => absent("request", name, &reply.headers("RequestHeader", name)),
        Want::NotGot(name) => absent("answer", name, &reply.headers("ResponseHeader", name)),
        Want::Fails(text) => bail!("wanted a failure with `{text}`, got an answer"),
    }
}

fn absent(what: &str, name: &str, got: &[&str]) -> Result<()> {
    ensure!(got.is_empty(), "the {what} has {name}: {}", got.join(","));
    Ok(())
}

/// All are answered as wanted, and this part of them by this Deployment.
pub(super) fn share(
    call: &Call,
    replies: &[Reply],
    printed: &str,
    count: u32,
    backend: &str,
    percent: u32,
) -> Result<()> {
    all(call, replies, printed, count)?;
    let seen = replies.iter().filter(|reply| reply.backend() == Some(backend)).count();
    near(u32::try_from(seen)?, count, percent, SLACK).with_context(|| format!("answers of {backend}"))
}

/// All are answered, this part of them with this status.
pub(super) fn partly(replies: &[Reply], count: u32, code: &str, percent: u32) -> Result<()> {
    ensure!(replies.len() == count as usize, "{} of {count} are answered", replies.len());
    let seen = replies.iter().filter(|reply| reply.field("StatusCode") == Some(code)).count();
    near(u32::try_from(seen)?, count, percent, SLACK).with_context(|| format!("answers with {code}"))
}

/// `seen` is `percent` of `count`, give or take `slack` of a hundred; nothing and everything have to be just that.
pub(super) fn near(seen: u32, count: u32, percent: u32, slack: u32) -> Result<()> {
    let slack = if percent.is_multiple_of(100) { 0 } else { slack };
    let low = count * percent.saturating_sub(slack) / 100;
    let high = count * (percent + slack) / 100;
    ensure!((low..=high).contains(&seen), "wanted {low} to {high} of {count}, saw {seen}");
    Ok(())
}

/// A condition of our own entry, about the generation that is there.
pub(super) fn condition(object: &Value, condition: &str, status: &str, reason: &str) -> Result<()> {
    let parents = object.pointer("/status/parents").and_then(Value::as_array).context("no status.parents")?;
    let ours =
        parents.iter().find(|parent| parent.get("controllerName").is_some_and(|name| name == CONTROLLER));
    let conditions = ours.and_then(|parent| parent.get("conditions")).and_then(Value::as_array);
    let conditions = conditions.with_context(|| format!("no entry of {CONTROLLER} in status.parents"))?;
    let found = conditions.iter().find(|found| found.get("type").is_some_and(|kind| kind == condition));
    let found = found.with_context(|| format!("no condition {condition}"))?;
    let text = |field: &str| found.get(field).and_then(Value::as_str).unwrap_or_default();
    ensure!(
        (text("status"), text("reason")) == (status, reason),
        "{condition}: wanted {status} {reason}, got {} {} ({})",
        text("status"),
        text("reason"),
        text("message")
    );
    let generation = object.pointer("/metadata/generation");
    ensure!(found.get("observedGeneration") == generation, "{condition} is about an older generation");
    Ok(())
}

fn last(printed: &str) -> &str {
    printed.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("nothing at all")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::conformance::case;
    use crate::conformance::reply::read;

    #[test]
    fn an_answer_is_held_against_every_wish() {
        let printed =
            "[0] StatusCode=200\n[0 body] URL=/x\n[0 body] RequestHeader=A:1\n[0 body] Hostname=echo-v1-a-b";
        let replies = read(printed);
        let fine = case::call(
            "http://echo/x",
            &[
                Want::Code("200"),
                Want::Backend("echo-v1"),
                Want::Saw("URL", "/x"),
                Want::Sent("a", "1"),
                Want::NotSent("b"),
            ],
        );
        assert!(call(&fine, &replies, printed).is_ok());
        for want in [
            Want::Code("201"),
            Want::Backend("echo"),
            Want::Saw("URL", "/"),
            Want::Sent("a", "2"),
            Want::NotSent("A"),
            Want::Got("a", "1"),
            Want::Fails("Unavailable"),
        ] {
            assert!(call(&case::call("u", &[want]), &replies, printed).is_err(), "{want:?}");
        }
        assert!(all(&fine, &replies, printed, 2).is_err(), "an answer is missing");
    }

    #[test]
    fn shares_have_room_and_ends_have_none() {
        for (seen, percent, fits) in [
            (50, 50, true),
            (66, 50, true),
            (67, 50, false),
            (100, 100, true),
            (99, 100, false),
            (0, 0, true),
            (1, 0, false),
            (200, 200, true),
        ] {
            assert_eq!(near(seen, 100, percent, SLACK).is_ok(), fits, "{seen} for {percent}");
        }
    }

    #[test]
    fn only_our_own_entry_of_this_generation_counts() {
        let object = |controller: &str, seen: u32| {
            json!({"metadata": {"generation": 2}, "status": {"parents": [{"controllerName": controller, "conditions": [
                {"type": "Accepted", "status": "True", "reason": "Accepted", "observedGeneration": seen}]}]}})
        };
        assert!(condition(&object(CONTROLLER, 2), "Accepted", "True", "Accepted").is_ok());
        assert!(condition(&object(CONTROLLER, 1), "Accepted", "True", "Accepted").is_err());
        assert!(condition(&object("other.example/mesh", 2), "Accepted", "True", "Accepted").is_err());
        assert!(condition(&object(CONTROLLER, 2), "Accepted", "False", "Accepted").is_err());
        assert!(condition(&object(CONTROLLER, 2), "ResolvedRefs", "True", "ResolvedRefs").is_err());
        assert!(condition(&json!({}), "Accepted", "True", "Accepted").is_err());
    }
}
