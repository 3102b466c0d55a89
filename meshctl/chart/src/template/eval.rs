//! From a tree and values to text. Fields that values do not have are errors here, where Helm writes nothing: what is
//! optional stands in `values.yaml` with an empty value, so that a mistyped name is found.

use serde_json::Value;

use super::parse::{Base, Node, Operand, Pipeline};
use super::{File, TemplateError, Templates, What, functions};

/// What all of one run shares.
pub(super) struct Machine<'a> {
    pub(super) templates: &'a Templates,
    /// Files of the chart, for `.Files.Get`.
    pub(super) files: &'a dyn Fn(&str) -> Option<String>,
}

/// Named templates call each other this deep, not deeper.
const DEEPEST: usize = 32;

struct Scope<'a> {
    file: &'a str,
    dot: Value,
    variables: Vec<(String, Value)>,
    depth: usize,
}

impl Machine<'_> {
    /// The text of a file.
    pub(super) fn file(&self, file: &File, root: &Value) -> Result<String, TemplateError> {
        self.run(file, root.clone(), 0)
    }

    fn run(&self, file: &File, dot: Value, depth: usize) -> Result<String, TemplateError> {
        let variables = vec![(String::new(), dot.clone())];
        let mut scope = Scope { file: &file.name, dot, variables, depth };
        let mut out = String::new();
        self.nodes(&file.nodes, &mut scope, &mut out)?;
        Ok(out)
    }

    fn nodes(&self, nodes: &[Node], scope: &mut Scope<'_>, out: &mut String) -> Result<(), TemplateError> {
        let kept = scope.variables.len();
        for node in nodes {
            self.node(node, scope, out)?;
        }
        scope.variables.truncate(kept);
        Ok(())
    }

    fn node(&self, node: &Node, scope: &mut Scope<'_>, out: &mut String) -> Result<(), TemplateError> {
        match node {
            Node::Text(text) => out.push_str(text),
            Node::Output(pipeline) => {
                let value = self.pipeline(pipeline, scope)?;
                let text = functions::text(&value).map_err(|what| fault(scope, pipeline, what))?;
                out.push_str(&text);
            }
            Node::Assign { variable, pipeline } => {
                let value = self.pipeline(pipeline, scope)?;
                scope.variables.push((variable.clone(), value));
            }
            Node::If { branches, otherwise } => {
                for (condition, body) in branches {
                    if functions::truth(&self.pipeline(condition, scope)?) {
                        return self.nodes(body, scope, out);
                    }
                }
                self.nodes(otherwise, scope, out)?;
            }
            Node::With { pipeline, body, otherwise } => {
                let value = self.pipeline(pipeline, scope)?;
                if functions::truth(&value) {
                    let outer = std::mem::replace(&mut scope.dot, value);
                    self.nodes(body, scope, out)?;
                    scope.dot = outer;
                } else {
                    self.nodes(otherwise, scope, out)?;
                }
            }
            Node::Range { variables, pipeline, body, otherwise } => {
                let elements = elements(self.pipeline(pipeline, scope)?);
                let elements = elements.map_err(|what| fault(scope, pipeline, what))?;
                if elements.is_empty() {
                    return self.nodes(otherwise, scope, out);
                }
                for element in elements {
                    self.element(variables, element, body, scope, out)?;
                }
            }
        }
        Ok(())
    }

    fn element(
        &self,
        variables: &[String],
        (key, value): (Value, Value),
        body: &[Node],
        scope: &mut Scope<'_>,
        out: &mut String,
    ) -> Result<(), TemplateError> {
        let kept = scope.variables.len();
        match variables {
            [only] => scope.variables.push((only.clone(), value.clone())),
            [first, second] => {
                scope.variables.push((first.clone(), key));
                scope.variables.push((second.clone(), value.clone()));
            }
            _ => {}
        }
        let outer = std::mem::replace(&mut scope.dot, value);
        self.nodes(body, scope, out)?;
        scope.dot = outer;
        scope.variables.truncate(kept);
        Ok(())
    }

    fn pipeline(&self, pipeline: &Pipeline, scope: &Scope<'_>) -> Result<Value, TemplateError> {
        let mut piped = None;
        for command in &pipeline.commands {
            piped = Some(self.command(command, piped, pipeline, scope)?);
        }
        Ok(piped.unwrap_or(Value::Null))
    }

    fn command(
        &self,
        operands: &[Operand],
        piped: Option<Value>,
        pipeline: &Pipeline,
        scope: &Scope<'_>,
    ) -> Result<Value, TemplateError> {
        let Some((first, rest)) = operands.split_first() else { return Ok(Value::Null) };
        let reads_file = first.fields.iter().map(String::as_str).eq(["Files", "Get"]);
        let name = match &first.base {
            Base::Function(name) => name.as_str(),
            _ if reads_file => "Files.Get",
            _ if rest.is_empty() && piped.is_none() => return self.operand(first, pipeline, scope),
            _ => return Err(fault(scope, pipeline, "a value is no function".to_owned())),
        };
        // What is not needed is not evaluated, as in Go.
        if matches!(name, "and" | "or") {
            return self.choose(name == "or", rest, piped, pipeline, scope);
        }
        let mut arguments =
            rest.iter().map(|o| self.operand(o, pipeline, scope)).collect::<Result<Vec<_>, _>>()?;
        arguments.extend(piped);
        match name {
            "include" => self.include(&arguments, pipeline, scope),
            "Files.Get" => {
                let path = arguments.first().and_then(Value::as_str).unwrap_or_default();
                let missing = || fault(scope, pipeline, format!("the chart has no file `{path}`"));
                (self.files)(path).map(Value::String).ok_or_else(missing)
            }
            _ => functions::call(name, &arguments).map_err(|what| fault(scope, pipeline, what)),
        }
    }

    fn choose(
        &self,
        until: bool,
        operands: &[Operand],
        piped: Option<Value>,
        pipeline: &Pipeline,
        scope: &Scope<'_>,
    ) -> Result<Value, TemplateError> {
        let mut last = Value::Null;
        for operand in operands {
            last = self.operand(operand, pipeline, scope)?;
            if functions::truth(&last) == until {
                return Ok(last);
            }
        }
        Ok(piped.unwrap_or(last))
    }

    fn include(
        &self,
        arguments: &[Value],
        pipeline: &Pipeline,
        scope: &Scope<'_>,
    ) -> Result<Value, TemplateError> {
        let [Value::String(name), dot] = arguments else {
            return Err(fault(scope, pipeline, "include takes a name and a value".to_owned()));
        };
        let Some(file) = self.templates.defined.get(name) else {
            return Err(fault(scope, pipeline, format!("no template is named `{name}`")));
        };
        if scope.depth >= DEEPEST {
            return Err(fault(scope, pipeline, format!("`{name}` includes itself without end")));
        }
        self.run(file, dot.clone(), scope.depth + 1).map(Value::String)
    }

    fn operand(
        &self,
        operand: &Operand,
        pipeline: &Pipeline,
        scope: &Scope<'_>,
    ) -> Result<Value, TemplateError> {
        let mut value = match &operand.base {
            Base::Dot => scope.dot.clone(),
            Base::Literal(value) => value.clone(),
            Base::Sub(inner) => self.pipeline(inner, scope)?,
            Base::Variable(name) => {
                let known = scope.variables.iter().rev().find(|(known, _)| known == name);
                let unknown = || fault(scope, pipeline, format!("no variable is named `${name}`"));
                known.map(|(_, value)| value.clone()).ok_or_else(unknown)?
            }
            Base::Function(_) => {
                let command = std::slice::from_ref(operand);
                return self.command(command, None, pipeline, scope);
            }
        };
        for (at, name) in operand.fields.iter().enumerate() {
            value = match value {
                Value::Object(mut map) if map.contains_key(name) => map.remove(name).unwrap_or_default(),
                _ => {
                    let path = operand.fields.get(..=at).unwrap_or_default().join(".");
                    return Err(fault(scope, pipeline, format!("there is no `.{path}`")));
                }
            };
        }
        Ok(value)
    }
}

fn fault(scope: &Scope<'_>, pipeline: &Pipeline, what: What) -> TemplateError {
    TemplateError { file: scope.file.to_owned(), line: pipeline.line, what }
}

/// What `range` goes through, with keys or positions.
fn elements(value: Value) -> Result<Vec<(Value, Value)>, What> {
    match value {
        Value::Null => Ok(Vec::new()),
        Value::Array(list) => Ok(list.into_iter().enumerate().map(|(i, v)| (i.into(), v)).collect()),
        Value::Object(map) => Ok(map.into_iter().map(|(key, v)| (key.into(), v)).collect()),
        other => Err(format!("range cannot go through `{other}`")),
    }
}
