//! Where a setting was written: object, field, file and line. Pure.

use mesh_controller::api::ObjectKey;
use mesh_model::traffic::Origin;

use super::answer::{Answer, Routing};
use super::objects::Objects;

/// Finds objects by the names that origins have.
#[derive(Debug)]
pub(crate) struct Sources<'a> {
    objects: &'a Objects,
    routing: Option<&'a Routing>,
}

/// A field of an object, and where the object is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    /// As `TrafficPolicy shop/reviews`.
    pub(crate) object: String,
    pub(crate) field: String,
    /// `PATH:LINE`.
    pub(crate) at: String,
}

impl Source {
    /// `FIELD of OBJECT, PATH:LINE`.
    pub(crate) fn words(&self) -> String {
        let at = if self.at.is_empty() { String::new() } else { format!(", {}", self.at) };
        format!("{} of {}{at}", self.field, self.object)
    }

    /// `FIELD, PATH:LINE`, where the object is clear.
    pub(crate) fn short(&self) -> String {
        if self.at.is_empty() { self.field.clone() } else { format!("{}, {}", self.field, self.at) }
    }
}

impl<'a> Sources<'a> {
    /// For an answer.
    pub(crate) fn new(answer: &'a Answer<'a>) -> Self {
        Self { objects: answer.objects, routing: answer.routing.as_ref() }
    }

    /// Every object and field that an origin names, what counts first in front; none for a default.
    pub(crate) fn of(&self, origin: &Origin) -> Vec<Source> {
        origin.parts().into_iter().map(|(object, field)| self.field(object, field)).collect()
    }

    /// A field of `trafficpolicy/NS/NAME`, or of a rule `httproute/NS/NAME#RULE`.
    pub(crate) fn field(&self, object: &str, field: &str) -> Source {
        let (resource, rule) =
            object.split_once('#').map_or((object, None), |(object, rule)| (object, Some(rule)));
        let key = self.objects.by_resource(resource);
        let chosen = self.routing.and_then(|routing| routing.explanation.chosen.as_ref());
        let taken = chosen.filter(|chosen| &*chosen.label == object);
        // The fields of a rule are named without the rule.
        let field = match (rule, taken) {
            (Some(_), Some(taken)) if !field.starts_with("spec.") => {
                format!("spec.rules[{}].{field}", taken.rule_index)
            }
            _ => field.to_owned(),
        };
        Source {
            object: key.map_or_else(|| resource.to_owned(), ObjectKey::to_string),
            at: key.and_then(|key| self.objects.origin_of(key, &field)).unwrap_or_default(),
            field,
        }
    }
}
