//! Spans where the feature `otel` is off: nothing of them is left.

use std::fmt;

use actix::{Actor, ResponseActFuture, ResponseFuture};

use super::described::{Incoming, Outgoing};
use crate::error::{AskError, SendError};
use crate::id::Identity;
use crate::payload::{AskId, TraceContext};

#[derive(Debug, Clone, Default)]
pub(crate) struct Parent(());

#[derive(Debug, Default)]
pub(crate) struct Span(());

impl Span {
    pub(crate) const fn context(&self) -> Option<TraceContext> {
        None
    }

    #[inline]
    pub(crate) const fn enter(&self) -> Entered {
        Entered(())
    }

    #[inline]
    pub(crate) fn wrap<O: 'static>(&self, future: ResponseFuture<O>) -> ResponseFuture<O> {
        future
    }

    #[inline]
    pub(crate) fn wrap_actor<A: Actor, O: 'static>(
        &self,
        future: ResponseActFuture<A, O>,
    ) -> ResponseActFuture<A, O> {
        future
    }

    #[inline]
    #[expect(
        clippy::extra_unused_type_parameters,
        reason = "those of a span that there is"
    )]
    pub(crate) fn wrap_result<A: Actor, R: 'static, O: 'static>(&self, result: R) -> R {
        result
    }

    #[inline]
    pub(crate) fn note_ask(&self, _: Identity, _: AskId) {}

    #[inline]
    pub(crate) fn succeed(&mut self) {}

    pub(crate) fn abandon(&mut self) {}

    #[inline]
    pub(crate) fn fail(&mut self, _: &'static str, _: &dyn fmt::Display) {}

    #[inline]
    pub(crate) fn end_ask<R>(&mut self, _: &Result<R, AskError>) {}

    #[inline]
    pub(crate) fn end_send(&mut self, _: &Result<(), SendError>) {}
}

/// A span that nobody is in.
#[derive(Debug)]
pub(crate) struct Entered(());

#[derive(Debug, Default)]
pub(crate) struct SendSpan(());

impl SendSpan {
    pub(crate) fn begin(&mut self, _: impl FnOnce(&Parent, &'static str) -> Span) {}

    pub(crate) const fn context(&self) -> Option<TraceContext> {
        None
    }

    #[inline]
    pub(crate) const fn is_some(&self) -> bool {
        false
    }

    #[inline]
    pub(crate) fn end(&mut self, _: &Result<(), SendError>) {}
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Tracing(());

impl Tracing {
    #[inline]
    pub(crate) const fn is_on(&self) -> bool {
        false
    }

    #[inline]
    pub(crate) fn parent(&self) -> Parent {
        Parent(())
    }

    pub(crate) fn prepare_send(&self, _: &'static str) -> SendSpan {
        SendSpan(())
    }

    #[inline]
    pub(crate) fn send(&self, _: &Parent, _: &str, _: impl FnOnce() -> Outgoing) -> Span {
        Span(())
    }

    #[inline]
    pub(crate) fn ask(&self, _: &Parent, _: &str, _: Option<TraceContext>) -> Span {
        Span(())
    }

    pub(crate) fn consumer(&self, _: &str, _: Option<&str>) -> Consumer {
        Consumer(())
    }
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Consumer(());

impl Consumer {
    #[inline]
    pub(crate) fn process(&self, _: impl FnOnce() -> Incoming) -> Span {
        Span(())
    }

    #[inline]
    pub(crate) fn answer(&self, _: impl FnOnce() -> Incoming) -> Span {
        Span(())
    }

    #[inline]
    pub(crate) fn receive(&self, _: impl FnOnce() -> Incoming) {}
}
