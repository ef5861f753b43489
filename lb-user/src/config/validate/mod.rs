//! Raw values into the model: what each means, and whether they go together.
//!
//! Every error is collected. A value that was refused is left out or replaced by its default, so that
//! the others are still judged; the model is then thrown away.

mod class;
mod director;
mod guard;
mod persistence;
mod real_server;
mod room;
mod service;

use std::ops::RangeInclusive;

use toml::Spanned;

use super::{
    error::{Error, Errors, Problem},
    raw::Raw,
    source::Source,
};
use crate::model::Model;

/// The model that `raw` describes.
pub(super) fn model(raw: &Raw, source: &Source<'_>) -> Result<Model, Errors> {
    let mut report = Report { source, errors: Vec::new() };
    let director = director::director(&raw.director, &raw.tables, &mut report);
    let classes = class::classes(&raw.class, &mut report);
    let services = service::services(&raw.virtual_service, &classes, &mut report);
    if report.errors.is_empty() {
        let model = Model { director, classes, services };
        class::check(&model, raw, &mut report);
        room::check(&model, raw, &mut report);
        if report.errors.is_empty() {
            return Ok(model);
        }
    }
    Err(Errors::sorted(report.errors))
}

/// The errors so far.
struct Report<'a> {
    source: &'a Source<'a>,
    errors: Vec<Error>,
}

impl Report<'_> {
    fn refuse<T>(&mut self, at: &Spanned<T>, problem: Problem) {
        self.errors.push(self.source.error(at.span().start, problem));
    }

    /// That the table at `at` lacks a key.
    fn miss<T>(&mut self, at: &Spanned<T>, key: &str, problem: Problem) {
        self.errors.push(self.source.error_in(at.span().start, key, problem));
    }

    /// What `read` makes of a value; `None` where it was refused.
    fn accept<R, T>(&mut self, at: &Spanned<R>, read: impl FnOnce(&R) -> Result<T, Problem>) -> Option<T> {
        read(at.get_ref()).map_err(|problem| self.refuse(at, problem)).ok()
    }

    /// The same for a key that can be left out.
    fn accept_or<R, T>(
        &mut self,
        at: Option<&Spanned<R>>,
        default: T,
        read: impl FnOnce(&R) -> Result<T, Problem>,
    ) -> T {
        at.and_then(|at| self.accept(at, read)).unwrap_or(default)
    }

    fn line<T>(&self, at: &Spanned<T>) -> usize {
        self.source.line(at.span().start)
    }
}

fn within(value: i64, range: &RangeInclusive<u32>) -> Result<u32, Problem> {
    let (&min, &max) = (range.start(), range.end());
    u32::try_from(value).ok().filter(|value| range.contains(value)).ok_or(Problem::OutOfRange {
        value,
        min,
        max,
    })
}
