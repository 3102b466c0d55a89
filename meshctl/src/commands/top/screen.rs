//! The full screen of `top`: a title, the table, a line of help. It must not know where the numbers come from.

use std::time::Duration;

use mesh_proto::inspect::v1::StatResponse;
use ratatui::Frame;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Cell as TableCell, Paragraph, Row, Table as TableWidget, TableState};

use crate::commands::traffic;
use crate::output::Tone;
use crate::output::table::{Align, Cell, Table};

/// What is on the screen.
#[derive(Debug)]
pub(crate) struct View {
    title: String,
    table: Table,
    summary: String,
    problem: Option<String>,
    state: TableState,
}

/// What the user asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    Stay,
    Leave,
}

impl View {
    /// Nothing known yet.
    pub(crate) fn new(mesh: &str, window: u32) -> Self {
        Self {
            title: format!("mesh {mesh}, last {window} s"),
            table: traffic::table(&StatResponse::default()),
            summary: String::new(),
            problem: None,
            state: TableState::default().with_selected(Some(0)),
        }
    }

    /// Takes new numbers, or the reason why there are none; the old ones stay then.
    pub(crate) fn update(&mut self, answer: anyhow::Result<StatResponse>) {
        match answer {
            Ok(answer) => {
                self.table = traffic::table(&answer);
                let rps: f64 = answer.rows.iter().map(|row| row.rps).sum();
                self.summary = format!("{rps:.0} requests/s over {} paths", answer.rows.len());
                self.problem = None;
            }
            Err(error) => self.problem = Some(format!("{error:#}")),
        }
    }

    /// Paints everything.
    pub(crate) fn draw(&mut self, frame: &mut Frame<'_>) {
        let [top, middle, bottom] =
            Layout::vertical([Constraint::Length(1), Constraint::Min(1), Constraint::Length(1)])
                .areas(frame.area());
        let title = Line::from(vec![
            Span::styled(" amime ", Style::new().add_modifier(Modifier::BOLD | Modifier::REVERSED)),
            Span::raw(format!(" {}   {}", self.title, self.summary)),
        ]);
        frame.render_widget(title, top);
        frame.render_stateful_widget(widget(&self.table), middle, &mut self.state);
        let foot = match &self.problem {
            Some(problem) => Paragraph::new(format!(" {problem}")).style(Style::new().fg(Color::Red)),
            None => Paragraph::new(" q leave   ↑ ↓ scroll").style(Style::new().add_modifier(Modifier::DIM)),
        };
        frame.render_widget(foot, bottom);
    }
}

fn widget(table: &Table) -> TableWidget<'_> {
    let widths =
        table.widths().into_iter().map(|width| Constraint::Length(u16::try_from(width).unwrap_or(u16::MAX)));
    let titles = table.columns().iter().map(|(title, align)| aligned(title, *align));
    let header = Row::new(titles.map(TableCell::from)).style(Style::new().add_modifier(Modifier::BOLD));
    let rows = table.rows().iter().map(|row| {
        let cells = row.iter().zip(table.columns());
        Row::new(
            cells.map(|(cell, (_, align))| TableCell::from(aligned(cell.text(), *align)).style(style(cell))),
        )
    });
    TableWidget::new(rows, widths)
        .header(header)
        .column_spacing(2)
        .row_highlight_style(Style::new().add_modifier(Modifier::UNDERLINED))
}

fn aligned(text: &str, align: Align) -> Text<'_> {
    match align {
        Align::Left => Text::from(text).left_aligned(),
        Align::Right => Text::from(text).right_aligned(),
    }
}

fn style(cell: &Cell) -> Style {
    match cell.tone() {
        Tone::Plain => Style::new(),
        Tone::Strong => Style::new().add_modifier(Modifier::BOLD),
        Tone::Faint => Style::new().add_modifier(Modifier::DIM),
        Tone::Good => Style::new().fg(Color::Green),
        Tone::Warning => Style::new().fg(Color::Yellow),
        Tone::Bad => Style::new().fg(Color::Red),
    }
}

/// Takes the keys that were pressed since the last time; does not wait.
pub(crate) fn keys(view: &mut View) -> std::io::Result<Wish> {
    while event::poll(Duration::ZERO)? {
        let Event::Key(key) = event::read()? else { continue };
        if key.kind == KeyEventKind::Release {
            continue;
        }
        match key.code {
            KeyCode::Char('q') | KeyCode::Esc => return Ok(Wish::Leave),
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return Ok(Wish::Leave),
            KeyCode::Down | KeyCode::Char('j') => view.state.scroll_down_by(1),
            KeyCode::Up | KeyCode::Char('k') => view.state.scroll_up_by(1),
            KeyCode::PageDown => view.state.scroll_down_by(10),
            KeyCode::PageUp => view.state.scroll_up_by(10),
            _ => {}
        }
    }
    Ok(Wish::Stay)
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;
    use crate::commands::traffic::tests::sample;

    #[test]
    fn the_screen_shows_title_table_and_help() {
        let mut terminal = Terminal::new(TestBackend::new(130, 8)).unwrap();
        let mut view = View::new("default", 10);
        view.update(Ok(sample()));
        terminal.draw(|frame| view.draw(frame)).unwrap();
        insta::assert_snapshot!(terminal.backend());
    }

    #[test]
    fn numbers_stay_on_the_screen_while_the_controller_is_away() {
        let mut terminal = Terminal::new(TestBackend::new(130, 8)).unwrap();
        let mut view = View::new("default", 10);
        view.update(Ok(sample()));
        view.update(Err(anyhow::anyhow!("the controller does not answer `stat`")));
        terminal.draw(|frame| view.draw(frame)).unwrap();
        let text = terminal.backend().to_string();
        assert!(text.contains("reviews.shop → reviews-v1") && text.contains("does not answer"), "{text}");
    }
}
