//! What every object has: its kind, metadata, status; and objects that are none of the source's. It must not know fields of `spec`.

use crate::ledger::Effect;
use crate::out::ORIGIN;
use crate::{Context, Source};

/// Speaks of what the source's module left.
pub(crate) fn settle(source: Source, context: &Context<'_>) {
    for (at, document) in context.documents.iter().enumerate() {
        let Some(root) = context.ledger.root(context.documents, at) else { continue };
        if context.ledger.is_settled(at, "kind") {
            continue;
        }
        let group = document.group();
        let known = context.ledger.first_object(at).is_some() || context.ledger.is_settled(at, "spec");
        if !source.owns(group) && (group.is_empty() || !known) {
            for (key, annotation) in annotations(&root) {
                if source.reads_annotation(key) && !context.ledger.is_settled(at, &annotation.path) {
                    annotation.lost(
                        Effect::Behaviour,
                        "this annotation is not known here",
                        "look up what it does; what sidecars take is in docs/reference/annotations.md",
                    );
                }
            }
            rest_is_inert(&root, context, at);
            continue;
        }
        root.inert_field("apiVersion", "says which API it is");
        root.inert_field("kind", "says which kind it is");
        root.inert_field("status", "is written by the other mesh");
        let Some(metadata) = root.get("metadata") else { continue };
        for (key, field) in metadata.fields() {
            if context.ledger.is_settled(at, &field.path) {
                continue;
            }
            match (key, context.ledger.first_object(at)) {
                ("name" | "namespace", Some(object)) => field.to(&object, format!("metadata.{key}")),
                ("annotations", _) => {}
                _ => field.inert("metadata says nothing about requests"),
            }
        }
        for (key, annotation) in annotations(&root) {
            if context.ledger.is_settled(at, &annotation.path) {
                continue;
            }
            if source.reads_annotation(key) && key != ORIGIN {
                annotation.lost(
                    Effect::Behaviour,
                    "this annotation is not known here",
                    "look up what it does, and whether a TrafficPolicy does it",
                );
            } else {
                annotation.inert("an annotation of others");
            }
        }
    }
}

fn annotations<'a>(root: &crate::ledger::Node<'a>) -> Vec<(&'a str, crate::ledger::Node<'a>)> {
    root.at(&["metadata", "annotations"]).map(|node| node.fields()).unwrap_or_default()
}

/// An object of Kubernetes: it stays as it is.
fn rest_is_inert(root: &crate::ledger::Node<'_>, context: &Context<'_>, at: usize) {
    let why = "an object of Kubernetes, which stays as it is";
    for (key, field) in root.fields() {
        if key != "metadata" {
            field.inert(why);
            continue;
        }
        for (key, field) in field.fields() {
            if key != "annotations" {
                field.inert(why);
                continue;
            }
            for (_, annotation) in field.fields() {
                if !context.ledger.is_settled(at, &annotation.path) {
                    annotation.inert(why);
                }
            }
            if field.is_leaf() {
                field.inert(why);
            }
        }
        if field.is_leaf() {
            field.inert(why);
        }
    }
}
