//! Values against a JSON Schema, as far as the chart's schema goes. A keyword that is not known here is an error of the
//! schema, so that nothing is believed to be checked that is not. Pure.

use std::fmt;

use serde_json::{Map, Value};

/// A value that the schema refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which value: `controller.replicas`.
    pub path: String,
    /// What is wrong with it.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.what)
    }
}

/// Every violation. An error is one of the schema.
pub fn check(schema: &Value, value: &Value) -> Result<Vec<Violation>, String> {
    let mut checker = Checker { root: schema, violations: Vec::new() };
    checker.value(schema, value, "")?;
    Ok(checker.violations)
}

struct Checker<'a> {
    root: &'a Value,
    violations: Vec<Violation>,
}

impl Checker<'_> {
    fn violation(&mut self, path: &str, what: impl Into<String>) {
        let path = if path.is_empty() { "the values" } else { path };
        self.violations.push(Violation { path: path.to_owned(), what: what.into() });
    }

    fn value(&mut self, schema: &Value, value: &Value, path: &str) -> Result<(), String> {
        let rules = schema.as_object().ok_or("a schema is no object")?;
        for (keyword, rule) in rules {
            self.rule(keyword, rule, rules, value, path)?;
        }
        Ok(())
    }

    fn rule(
        &mut self,
        keyword: &str,
        rule: &Value,
        rules: &Map<String, Value>,
        value: &Value,
        path: &str,
    ) -> Result<(), String> {
        match keyword {
            "$schema" | "title" | "description" | "definitions" | "default" => {}
            "$ref" => {
                let name = rule.as_str().and_then(|r| r.strip_prefix("#/definitions/"));
                let name = name.ok_or("$ref leads to #/definitions/ only")?;
                let target = self.root.get("definitions").and_then(|d| d.get(name));
                let target = target.ok_or_else(|| format!("no definition `{name}`"))?.clone();
                self.value(&target, value, path)?;
            }
            "type" => self.kind(rule, value, path)?,
            "enum" => {
                let allowed = rule.as_array().ok_or("enum is a list")?;
                if !allowed.contains(value) {
                    let shown: Vec<String> = allowed.iter().map(ToString::to_string).collect();
                    self.violation(path, format!("must be one of {}", shown.join(", ")));
                }
            }
            "minimum" | "maximum" => {
                let (bound, number) = (rule.as_i64().ok_or("a bound is an integer")?, value.as_i64());
                let beyond = |number| if keyword == "minimum" { number < bound } else { number > bound };
                if number.is_some_and(beyond) {
                    let word = if keyword == "minimum" { "least" } else { "most" };
                    self.violation(path, format!("must be at {word} {bound}"));
                }
            }
            "minLength" => {
                let least = rule.as_u64().ok_or("minLength is an integer")?;
                if value.as_str().is_some_and(|text| (text.chars().count() as u64) < least) {
                    self.violation(path, "must not be empty");
                }
            }
            "properties" => {
                let properties = rule.as_object().ok_or("properties are an object")?;
                for (name, schema) in properties {
                    if let Some(inner) = value.get(name) {
                        self.value(schema, inner, &joined(path, name))?;
                    }
                }
            }
            "additionalProperties" => self.others(rule, rules, value, path)?,
            "items" => {
                for (at, element) in value.as_array().into_iter().flatten().enumerate() {
                    self.value(rule, element, &format!("{path}[{at}]"))?;
                }
            }
            other => return Err(format!("keyword `{other}` is not understood")),
        }
        Ok(())
    }

    fn kind(&mut self, rule: &Value, value: &Value, path: &str) -> Result<(), String> {
        let kinds: Vec<&str> = match rule {
            Value::String(one) => vec![one],
            Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
            _ => return Err("type is a name or a list of names".to_owned()),
        };
        let is = |kind: &&str| match *kind {
            "null" => value.is_null(),
            "boolean" => value.is_boolean(),
            "integer" => value.is_i64() || value.is_u64(),
            "number" => value.is_number(),
            "string" => value.is_string(),
            "array" => value.is_array(),
            "object" => value.is_object(),
            _ => false,
        };
        if !kinds.iter().any(is) {
            self.violation(path, format!("must be of type {}, is `{value}`", kinds.join(" or ")));
        }
        Ok(())
    }

    /// Keys that no property names.
    fn others(
        &mut self,
        rule: &Value,
        rules: &Map<String, Value>,
        value: &Value,
        path: &str,
    ) -> Result<(), String> {
        let named = rules.get("properties").and_then(Value::as_object);
        let unnamed = |name: &&String| !named.is_some_and(|named| named.contains_key(*name));
        let Some(map) = value.as_object() else { return Ok(()) };
        for name in map.keys().filter(unnamed) {
            match rule {
                Value::Bool(true) => {}
                Value::Bool(false) => {
                    let near = named.into_iter().flat_map(|named| named.keys()).map(String::as_str);
                    let near: Vec<&str> = near.collect();
                    let what = format!("there is no such value; there are {}", near.join(", "));
                    self.violation(&joined(path, name), what);
                }
                schema => {
                    let inner = map.get(name).unwrap_or(&Value::Null);
                    self.value(schema, inner, &joined(path, name))?;
                }
            }
        }
        Ok(())
    }
}

fn joined(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(schema: Value, value: Value) -> Vec<String> {
        check(&schema, &value).unwrap().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn violations_name_the_value() {
        let schema = json!({
            "definitions": {"port": {"type": "integer", "minimum": 1, "maximum": 65535}},
            "type": "object",
            "additionalProperties": false,
            "properties": {
                "ports": {"type": "array", "items": {"$ref": "#/definitions/port"}},
                "mode": {"enum": ["a", "b"]},
                "name": {"type": ["string", "null"], "minLength": 1},
                "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            },
        });
        let good = json!({"ports": [1], "mode": "a", "name": null, "labels": {"x": "y"}});
        assert_eq!(shown(schema.clone(), good), [""; 0]);
        let bad = json!({"ports": [0, "x"], "mode": "c", "name": "", "labels": {"x": 1}, "nam": 1});
        assert_eq!(
            shown(schema, bad),
            [
                "nam: there is no such value; there are labels, mode, name, ports",
                "labels.x: must be of type string, is `1`",
                "mode: must be one of \"a\", \"b\"",
                "name: must not be empty",
                "ports[0]: must be at least 1",
                "ports[1]: must be of type integer, is `\"x\"`",
            ]
        );
    }

    #[test]
    fn an_unknown_keyword_is_an_error_of_the_schema() {
        assert_eq!(
            check(&json!({"patern": "x"}), &json!(1)),
            Err("keyword `patern` is not understood".to_owned())
        );
    }
}
