//! The functions that templates may call, after Go's and Sprig's, and what is true. Pure.

use serde_json::Value;

use super::What;

/// Go's idea of truth: everything but false, zero, nothing and the empty.
pub(super) fn truth(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(truth) => *truth,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

/// How a value is written into the text.
pub(super) fn text(value: &Value) -> Result<String, What> {
    match value {
        Value::Null => Ok(String::new()),
        Value::Bool(truth) => Ok(truth.to_string()),
        Value::Number(number) => Ok(number.to_string()),
        Value::String(text) => Ok(text.clone()),
        Value::Array(_) | Value::Object(_) => Err("a list or map is written with toYaml only".to_owned()),
    }
}

/// Calls a function.
pub(super) fn call(name: &str, arguments: &[Value]) -> Result<Value, What> {
    let value = match (name, arguments) {
        ("default", [fallback, value]) => if truth(value) { value } else { fallback }.clone(),
        ("quote", [Value::Null]) => Value::String(String::new()),
        ("quote", [value]) => serde_json::to_string(&text(value)?).map_err(|e| e.to_string())?.into(),
        ("toYaml", [value]) => yaml(value)?.into(),
        ("toJson", [value]) => value.to_string().into(),
        ("indent", [width, value]) => indent(size(width)?, &text(value)?).into(),
        ("nindent", [width, value]) => format!("\n{}", indent(size(width)?, &text(value)?)).into(),
        ("eq", [first, others @ ..]) if !others.is_empty() => others.contains(first).into(),
        ("ne", [a, b]) => (a != b).into(),
        ("gt", [a, b]) => (integer(a)? > integer(b)?).into(),
        ("not", [value]) => (!truth(value)).into(),
        ("int", [value]) => integer(value)?.into(),
        ("printf", [Value::String(format), arguments @ ..]) => printf(format, arguments)?.into(),
        ("required", [Value::String(what), value]) => {
            if matches!(value, Value::Null) || value.as_str() == Some("") {
                return Err(what.clone());
            }
            value.clone()
        }
        ("fail", [Value::String(what)]) => return Err(what.clone()),
        ("trunc", [width, value]) => text(value)?.chars().take(size(width)?).collect::<String>().into(),
        ("trimSuffix", [Value::String(suffix), value]) => {
            let text = text(value)?;
            text.strip_suffix(suffix.as_str()).unwrap_or(&text).into()
        }
        ("replace", [Value::String(from), Value::String(to), value]) => text(value)?.replace(from, to).into(),
        ("dict", pairs) if pairs.len() % 2 == 0 => {
            let pair = |pair: &[Value]| match pair {
                [Value::String(key), value] => Ok((key.clone(), value.clone())),
                _ => Err("keys of a dict are strings".to_owned()),
            };
            Value::Object(pairs.chunks(2).map(pair).collect::<Result<_, _>>()?)
        }
        ("list", values) => values.to_vec().into(),
        _ => return Err(format!("no function `{name}` takes {} arguments such as these", arguments.len())),
    };
    Ok(value)
}

fn size(value: &Value) -> Result<usize, What> {
    usize::try_from(integer(value)?).map_err(|_| format!("`{value}` is no width"))
}

fn integer(value: &Value) -> Result<i64, What> {
    match value {
        Value::Null => Ok(0),
        Value::String(text) => text.parse().map_err(|_| format!("`{text}` is no integer")),
        other => other.as_i64().ok_or_else(|| format!("`{other}` is no integer")),
    }
}

fn indent(width: usize, text: &str) -> String {
    let pad = " ".repeat(width);
    format!("{pad}{}", text.replace('\n', &format!("\n{pad}")))
}

/// The verbs %s, %d, %v and %q.
fn printf(format: &str, arguments: &[Value]) -> Result<String, What> {
    let (mut out, mut arguments, mut chars) = (String::new(), arguments.iter(), format.chars());
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let verb = chars.next();
        if verb == Some('%') {
            out.push('%');
            continue;
        }
        let argument = arguments.next().ok_or("printf lacks an argument")?;
        match verb {
            Some('s' | 'd' | 'v') => out.push_str(&text(argument)?),
            Some('q') => out.push_str(&Value::String(text(argument)?).to_string()),
            _ => return Err("printf knows %s, %d, %v and %q".to_owned()),
        }
    }
    match arguments.next() {
        None => Ok(out),
        Some(_) => Err("printf has an argument too many".to_owned()),
    }
}

/// YAML without the line break at its end.
fn yaml(value: &Value) -> Result<String, What> {
    let text = serde_saphyr::to_string(value).map_err(|error| format!("toYaml: {error}"))?;
    Ok(text.trim_end_matches('\n').to_owned())
}
