//! The pages about tasks and objects say what is so: every YAML block is an object that the controller accepts without a word,
//! and every `meshctl explain`, `authz`, `test` and `error` on a page prints what stands below it.
//!
//! How a page is written:
//! - Every block is applied together with `docs/tasks/shop.yaml`, where it counts before an object of the same name.
//! - A block whose first line is a comment such as `# route.yaml` is that file for the commands below it.
//! - `<!-- wrong: TEXT -->` above a block: the controller refuses it, and says TEXT.
//! - A block `yml` with such a comment, as `# tests.yml`, is a file as well, though no object.
//! - A block `sh` holds commands of `meshctl explain`, `authz`, `test` or `error`; the block `text` after it is what the last one prints.
//! - A block `console` holds what is run beside a mesh, and `yml` a file that is no object: they are shown and nobody checks them.
//! - `<!-- show: Route, Backends -->` above a block `text`: only these sections are shown beside the first, `…` stands for others.
//!
//! `UPDATE_PAGES=1` writes what the commands print into the pages; look at the difference and commit it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says plainly what it expects"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use mesh_controller::compile::compile;
use mesh_controller::index::Index;
use mesh_controller::sources::Reason;
use mesh_controller::sources::state::{Contents, DirState};
use mesh_model::spiffe::TrustDomain;

const SHOP: &str = "shop.yaml";

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs")
}

/// A fenced block with the note above it.
#[derive(Debug)]
struct Block {
    /// Of its first line of content, from 1.
    line: usize,
    language: String,
    note: String,
    text: String,
}

struct Page {
    path: PathBuf,
    blocks: Vec<Block>,
}

impl Page {
    fn read(path: PathBuf) -> Self {
        let text = fs::read_to_string(&path).unwrap();
        let mut blocks = Vec::new();
        let mut note = String::new();
        let mut lines = text.lines().enumerate();
        while let Some((number, line)) = lines.next() {
            if let Some(language) = line.strip_prefix("```") {
                let body: Vec<&str> =
                    lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```").collect();
                let text = body.iter().flat_map(|line| [line, "\n"]).collect();
                let language = language.to_owned();
                blocks.push(Block { line: number + 2, language, note: std::mem::take(&mut note), text });
            } else {
                let said = line.strip_prefix("<!-- ").and_then(|rest| rest.strip_suffix(" -->"));
                note = said.map(str::to_owned).unwrap_or_default();
            }
        }
        Self { path, blocks }
    }

    fn at(&self, block: &Block) -> String {
        format!("{}:{}", self.path.file_name().unwrap().to_string_lossy(), block.line)
    }
}

fn tasks() -> Vec<Page> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(docs().join("tasks")).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    paths.sort();
    paths.into_iter().map(Page::read).collect()
}

fn shop() -> Vec<u8> {
    fs::read(docs().join("tasks").join(SHOP)).unwrap()
}

/// Everything that the controller says about the objects of a block.
fn said(yaml: &str) -> Vec<String> {
    let mut state = DirState::default();
    let block = ("block.yaml".into(), Contents::Bytes(yaml.into()));
    let changes = state.apply_all([block, (SHOP.into(), Contents::Bytes(shop()))]);
    // An object of the block stands for the one of the shop.
    let replaced = |file: &str, reason| file == SHOP && reason == Reason::Duplicate;
    let reports = state.reports();
    let reports = reports.iter().filter(|report| !replaced(&report.file, report.problem.reason));
    let mut said: Vec<String> = reports.map(ToString::to_string).collect();
    let mut index = Index::default();
    index.apply(changes, 1);
    let compiled = compile(&index, &TrustDomain::new("mesh.local").unwrap());
    let mut objects = 0;
    for (key, report) in compiled.objects.iter().filter(|(_, report)| report.origin.starts_with("block.yaml"))
    {
        objects += 1;
        let words =
            report.conditions.iter().map(|c| format!("{key}: {}: {}: {}", c.reason, c.field, c.message));
        said.extend(words);
    }
    if objects == 0 && said.is_empty() {
        said.push("holds no object".to_owned());
    }
    said
}

#[test]
fn every_yaml_block_is_accepted_without_a_word() {
    let mut wrong = Vec::new();
    let pages = tasks().into_iter().chain([Page::read(docs().join("reference/objects.md"))]);
    for page in pages {
        for block in page.blocks.iter().filter(|block| block.language == "yaml") {
            let said = said(&block.text);
            match block.note.strip_prefix("wrong: ") {
                None => wrong.extend(said.iter().map(|said| format!("{}: {said}", page.at(block)))),
                Some(wanted) if said.iter().any(|said| said.contains(wanted)) => {}
                Some(wanted) => {
                    wrong.push(format!("{}: nobody says `{wanted}` but {said:?}", page.at(block)));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Words as a shell splits them: blanks, single and double quotes.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut quote) = (vec![String::new()], None);
    for c in line.chars() {
        match (quote, c) {
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), _) if open == c => quote = None,
            (None, ' ') => words.push(String::new()),
            (_, c) => words.last_mut().unwrap().push(c),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// The first paragraph and those whose title begins with one of the names; `…` stands for what is left out.
fn shown(output: &str, note: &str) -> String {
    let Some(names) = note.strip_prefix("show: ") else { return output.to_owned() };
    let names: Vec<&str> = names.split(", ").collect();
    let mut parts: Vec<&str> = Vec::new();
    for (at, part) in output.trim_end().split("\n\n").enumerate() {
        if at == 0 || names.iter().any(|name| part.starts_with(name)) {
            parts.push(part);
        } else if parts.last() != Some(&"…") {
            parts.push("…");
        }
    }
    parts.join("\n\n") + "\n"
}

/// Runs a command of a page where its files are; what it prints.
fn run(command: &str, folder: &Path) -> String {
    let words = words(command);
    let output = Command::new(env!("CARGO_BIN_EXE_meshctl"))
        .args(&words[1..])
        .current_dir(folder)
        .env("MESH_HOME", folder)
        .env("NO_COLOR", "1")
        .output()
        .unwrap();
    assert_ne!(output.status.code(), Some(2), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Every command of a page that is followed by what it prints: the text block and what it should hold.
fn outputs(page: &Page) -> Vec<(&Block, String)> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(SHOP), shop()).unwrap();
    let mut outputs = Vec::new();
    let mut last = None;
    for block in &page.blocks {
        match block.language.as_str() {
            "yaml" => {
                if let Some(name) = block.text.lines().next().and_then(|line| line.strip_prefix("# ")) {
                    assert!(
                        Path::new(name).extension().is_some_and(|e| e == "yaml"),
                        "{}: call the file",
                        page.at(block)
                    );
                    fs::write(folder.path().join(name), &block.text).unwrap();
                }
            }
            "sh" => {
                for line in block.text.lines() {
                    let checked = ["meshctl explain ", "meshctl authz ", "meshctl test ", "meshctl error"]
                        .iter()
                        .any(|command| line.starts_with(command));
                    assert!(checked, "{}: nobody checks `{line}`", page.at(block));
                    last = Some(run(line, folder.path()));
                }
            }
            "text" => {
                let output = last.take().unwrap_or_else(|| panic!("{}: what prints this?", page.at(block)));
                outputs.push((block, shown(&output, &block.note)));
            }
            "yml" => {
                if let Some(name) = block.text.lines().next().and_then(|line| line.strip_prefix("# "))
                    && Path::new(name).extension().is_some_and(|e| e == "yml")
                {
                    fs::write(folder.path().join(name), &block.text).unwrap();
                }
            }
            "console" => {}
            other => panic!("{}: a block is yaml, sh, text, console or yml, not `{other}`", page.at(block)),
        }
    }
    assert!(last.is_none(), "{}: show what the last command prints", page.path.display());
    outputs
}

#[test]
fn what_commands_print_is_what_the_page_says() {
    let mut wrong = Vec::new();
    for page in tasks() {
        let outputs = outputs(&page);
        let objects = page.blocks.iter().any(|block| block.language == "yaml");
        assert!(!objects || !outputs.is_empty(), "{} explains no request", page.path.display());
        if std::env::var_os("UPDATE_PAGES").is_some() {
            update(&page, &outputs);
            continue;
        }
        for (block, wanted) in outputs.iter().filter(|(block, wanted)| block.text != *wanted) {
            wrong.push(format!(
                "{}: the page says\n{}\nthe command prints\n{wanted}",
                page.at(block),
                block.text
            ));
        }
    }
    assert!(wrong.is_empty(), "set UPDATE_PAGES=1 to write what is printed\n{}", wrong.join("\n"));
}

fn update(page: &Page, outputs: &[(&Block, String)]) {
    let text = fs::read_to_string(&page.path).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for (block, wanted) in outputs.iter().rev() {
        let first = block.line - 1;
        let old = block.text.lines().count();
        lines.splice(first..first + old, wanted.lines().map(str::to_owned));
    }
    fs::write(&page.path, lines.join("\n") + "\n").unwrap();
}
