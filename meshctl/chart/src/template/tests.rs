//! The language against what Go's engine writes for the same input, and what is refused.

use serde_json::{Value, json};

use super::Templates;

fn rendered(text: &str, root: Value) -> Result<String, String> {
    let mut templates = Templates::default();
    templates.add("t", text).map_err(|error| error.to_string())?;
    let files = |path: &str| (path == "f.txt").then(|| "a\nb".to_owned());
    let texts = templates.execute(&root, &files).map_err(|error| error.to_string())?;
    Ok(texts.into_iter().map(|(_, text)| text).collect())
}

#[test]
fn what_templates_may_say() {
    let root = json!({"Values": {"s": "x", "n": 3, "e": "", "l": ["a", "b"], "m": {"k": "v"}, "t": true, "z": null}});
    for (text, wanted) in [
        ("a {{ .Values.s }} b", "a x b"),
        ("a {{- .Values.s -}} b", "axb"),
        ("a\n  {{- /* c }} d */ -}}\nb", "ab"),
        ("{{ .Values.e | default \"d\" }}{{ .Values.n }}", "d3"),
        ("{{ if .Values.e }}1{{ else if .Values.t }}2{{ else }}3{{ end }}", "2"),
        ("{{ with .Values.m }}{{ .k }}{{ $.Values.s }}{{ else }}no{{ end }}", "vx"),
        ("{{ with .Values.z }}{{ .k }}{{ else }}no{{ end }}", "no"),
        ("{{ range .Values.l }}<{{ . }}>{{ end }}", "<a><b>"),
        ("{{ range $i, $x := .Values.l }}{{ $i }}{{ $x }}{{ end }}", "0a1b"),
        ("{{ range $k, $v := .Values.m }}{{ $k }}={{ $v }}{{ end }}", "k=v"),
        ("{{ $a := .Values.s }}{{ range list 1 2 }}{{ $a }}{{ end }}", "xx"),
        ("{{ define \"n\" }}[{{ .k }}]{{ end }}{{ include \"n\" .Values.m }}", "[v]"),
        ("{{ include \"n\" (dict \"k\" .Values.n) | quote }}{{ define \"n\" }}{{ .k }}{{ end }}", "\"3\""),
        ("{{ printf \"%s-%d%%\" .Values.s .Values.n }}", "x-3%"),
        ("x: {{- toYaml .Values.m | nindent 2 }}", "x:\n  k: v"),
        ("{{ and .Values.t .Values.e }}|{{ or .Values.e .Values.s }}|{{ not .Values.e }}", "|x|true"),
        ("{{ if eq .Values.s \"y\" \"x\" }}1{{ end }}{{ if gt (int .Values.n) 2 }}2{{ end }}", "12"),
        ("{{ trunc 1 \"abc\" }}{{ \"ab-\" | trimSuffix \"-\" }}", "aab"),
        ("{{ (dict \"a\" (dict \"b\" 1)).a.b }}", "1"),
        ("{{ .Files.Get \"f.txt\" | nindent 1 }}", "\n a\n b"),
        ("{{ `{{ x }}` }}", "{{ x }}"),
        ("{{ required \"no\" .Values.s }}", "x"),
    ] {
        assert_eq!(rendered(text, root.clone()).as_deref(), Ok(wanted), "{text}");
    }
}

#[test]
fn what_is_refused_and_where() {
    let root = json!({"Values": {"m": {}, "z": ""}});
    for (text, wanted) in [
        ("\n{{ .Values.nope }}", "t:2: there is no `.Values.nope`"),
        ("{{ lookup \"v1\" }}", "t:1: no function `lookup` takes 1 arguments such as these"),
        ("{{ if .Values.z }}", "t:1: this `if` has no `end`"),
        ("{{ end }}", "t:1: `end` without a beginning"),
        ("{{ .Values.m }}", "t:1: a list or map is written with toYaml only"),
        ("{{ required \"set z\" .Values.z }}", "t:1: set z"),
        ("{{ template \"x\" }}", "t:1: `template` is not in the subset that this chart may use"),
        ("{{ include \"x\" . }}", "t:1: no template is named `x`"),
        (
            "{{ define \"x\" }}{{ include \"x\" . }}{{ end }}{{ include \"x\" . }}",
            "t:1: `x` includes itself without end",
        ),
        ("a {{ b", "t:1: an action does not end"),
        ("{{ \"a }}", "t:1: an action does not end"),
        ("{{ $x }}", "t:1: no variable is named `$x`"),
        ("{{ .Files.Get \"g\" }}", "t:1: the chart has no file `g`"),
    ] {
        assert_eq!(rendered(text, root.clone()), Err(wanted.to_owned()), "{text}");
    }
}
