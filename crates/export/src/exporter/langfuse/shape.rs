//! From a record to what Langfuse shows, whichever API carries it: a trace of one or three observations.
//!
//! `full`: a span named after the path, with an event `prompt` (what was asked) and a generation `completion` (what
//! was answered). `compact`: one generation. Nothing unknown is sent: no field is null, and none is 0 in place of
//! unknown.

use ai_tracing_config::ai_tracing::LangfuseObservations;
use ai_tracing_core::record::{CallRecord, End, Operation};
use ai_tracing_core::time::At;
use serde_json::{Map, Value};

use super::ids::Ids;
use super::usage::Bill;
use super::{clean, content, environment, metadata, usage};
use crate::weight::weigh;

/// Content heavier than this is sent once, on the observation that matters most, to stay below what servers take.
const COPIES_BELOW: usize = 1 << 20;

/// One call as Langfuse shows it.
#[derive(Debug)]
pub(super) struct Trace {
    pub id: u128,
    pub state: Option<String>,
    pub name: String,
    pub user_id: Option<String>,
    pub session_id: Option<String>,
    pub environment: Option<String>,
    pub tags: Vec<String>,
    pub metadata: Map<String, Value>,
    pub start: At,
    pub end: At,
    /// What was asked; the observations say which of them show it.
    pub input: Option<Value>,
    /// What was answered.
    pub output: Option<Value>,
    /// The root first.
    pub observations: Vec<Observation>,
}

#[derive(Debug)]
pub(super) struct Observation {
    pub id: u64,
    pub parent: Option<u64>,
    /// True for the topmost observation: what belongs to the trace as a whole, and may be large, stands on it alone.
    pub is_root: bool,
    /// True for the topmost of our observations when the caller's span is its parent.
    pub below_caller: bool,
    pub kind: Kind,
    pub name: String,
    pub start: At,
    pub end: At,
    pub fault: Option<Fault>,
    pub shows_input: bool,
    pub shows_output: bool,
    pub metadata: Map<String, Value>,
    pub generation: Option<Generation>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Span,
    Event,
    Generation,
    Embedding,
}

/// What only a generation (or an embedding) has.
#[derive(Clone, Debug)]
pub(super) struct Generation {
    pub model: Option<String>,
    pub parameters: Map<String, Value>,
    pub bill: Bill,
    pub completion_start: Option<At>,
}

/// What went wrong with the call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub level: Level,
    pub message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    Warning,
    Error,
}

impl Level {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Warning => "WARNING",
            Self::Error => "ERROR",
        }
    }
}

impl Trace {
    /// Shapes a record.
    pub fn of(record: &CallRecord, observations: LangfuseObservations) -> Self {
        let ids = Ids::of(record);
        let (start, end) = (record.timing.started_at, record.timing.ended_at());
        let context = &record.context;
        let name = if record.name.is_empty() { record.operation.as_str() } else { &record.name }.to_owned();
        let environment = context.environment.as_deref().filter(|environment| !environment.is_empty());
        let mut trace = Self {
            id: ids.trace,
            state: record.tracestate.clone(),
            user_id: some(&context.user_id),
            session_id: some(&context.session_id),
            environment: environment.and_then(environment::normalise),
            tags: environment.map(str::to_owned).into_iter().collect(),
            metadata: metadata::of_call(record),
            start,
            end,
            input: content::input(record),
            output: content::output(record),
            observations: Vec::new(),
            name: name.clone(),
        };
        let kind = if record.operation == Operation::Embeddings { Kind::Embedding } else { Kind::Generation };
        let root = Observation {
            id: ids.root,
            parent: ids.parent,
            is_root: true,
            below_caller: ids.parent.is_some(),
            kind: Kind::Span,
            name,
            start,
            end,
            fault: fault(record),
            shows_input: true,
            shows_output: true,
            metadata: trace.metadata.clone(),
            generation: None,
        };
        let generation = Generation {
            model: metadata::model(record),
            parameters: metadata::parameters(record),
            bill: usage::bill(record),
            completion_start: record.timing.first_token_at(),
        };
        trace.observations = match observations {
            LangfuseObservations::Compact => {
                let mut metadata = root.metadata.clone();
                metadata.extend(metadata::of_prompt(record));
                metadata.extend(metadata::of_completion(record));
                vec![Observation { kind, metadata, generation: Some(generation), ..root }]
            }
            LangfuseObservations::Full => full(record, root, ids, kind, generation),
        };
        trace.clean();
        trace
    }

    /// Replaces what Langfuse's stores cannot take, before anything is turned into text.
    fn clean(&mut self) {
        let texts = [&mut self.state, &mut self.user_id, &mut self.session_id, &mut self.environment];
        texts.into_iter().flatten().chain([&mut self.name]).chain(&mut self.tags).for_each(clean::text);
        [&mut self.input, &mut self.output].into_iter().flatten().for_each(clean::value);
        clean::map(&mut self.metadata);
        for observation in &mut self.observations {
            clean::text(&mut observation.name);
            clean::map(&mut observation.metadata);
            if let Some(fault) = &mut observation.fault {
                clean::text(&mut fault.message);
            }
            if let Some(generation) = &mut observation.generation {
                generation.model.iter_mut().for_each(clean::text);
                clean::map(&mut generation.parameters);
            }
        }
    }
}

fn full(record: &CallRecord, root: Observation, ids: Ids, kind: Kind, generation: Generation) -> Vec<Observation> {
    let copies = weigh(record) < COPIES_BELOW;
    let root = Observation { shows_input: copies, shows_output: copies, ..root };
    let prompt = Observation {
        id: ids.prompt,
        parent: Some(ids.root),
        is_root: false,
        below_caller: false,
        kind: Kind::Event,
        name: "prompt".into(),
        start: root.start,
        end: root.start,
        fault: None,
        shows_input: copies,
        shows_output: false,
        metadata: metadata::of_prompt(record),
        generation: None,
    };
    let completion = Observation {
        id: ids.completion,
        parent: Some(ids.root),
        is_root: false,
        below_caller: false,
        kind,
        name: "completion".into(),
        start: root.start,
        end: root.end,
        fault: root.fault.clone(),
        shows_input: true,
        shows_output: true,
        metadata: metadata::of_completion(record),
        generation: Some(generation),
    };
    vec![root, prompt, completion]
}

/// ERROR for what failed, WARNING for a client that went away from a call that was going well.
fn fault(record: &CallRecord) -> Option<Fault> {
    let error_status = record.status.filter(|status| *status >= 400);
    let failed = error_status.is_some() || record.error.is_some();
    let level = match record.end {
        End::Complete if !failed => return None,
        End::ClientGone if !failed => Level::Warning,
        _ => Level::Error,
    };
    let mut parts = Vec::new();
    if record.end != End::Complete {
        parts.push(record.end.as_str().to_owned());
    }
    if let Some(status) = error_status {
        parts.push(format!("HTTP {status}"));
    }
    if let Some(error) = &record.error {
        parts.extend([some(&error.kind), some(&error.message)].into_iter().flatten());
    }
    if parts.is_empty() {
        parts.push("error".into());
    }
    Some(Fault { level, message: parts.join(": ") })
}

/// An empty string tells nothing.
pub(super) fn some(text: &Option<String>) -> Option<String> {
    text.clone().filter(|text| !text.is_empty())
}
