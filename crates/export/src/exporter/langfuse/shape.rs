//! From a record to what Langfuse shows, whichever API carries it: a trace of one or three observations.
//!
//! `full`: a span named after the path, with an event `prompt` (what was asked) and a generation `completion` (what
//! was answered). `compact`: one generation. Nothing unknown is sent: no field is null, and none is 0 in place of
//! unknown.

use ai_tracing_config::ai_tracing::LangfuseObservations;
use ai_tracing_core::record::{CallRecord, Operation};
use ai_tracing_core::time::At;
use serde_json::{Map, Value};

use super::ids::Ids;
use super::usage::Bill;
use super::{environment, metadata, usage};
use crate::exporter::fault::Fault;
use crate::exporter::{chatml, clean, some};

/// Content of more bytes, as JSON, is sent once, on the observation that matters most: with it stand four copies in a
/// request to the batch API, and those have to stay below what servers take.
const COPIES_BELOW: usize = 800_000;

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
    /// False where the content is too large to be sent more than once.
    pub copies: bool,
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

impl Trace {
    /// Shapes a record; with `once` its content is sent once, whatever its size.
    pub fn of(record: &CallRecord, observations: LangfuseObservations, once: bool) -> Self {
        let ids = Ids::of(record);
        let (start, end) = (record.timing.started_at, record.timing.ended_at());
        let context = &record.context;
        let name = if record.name.is_empty() { record.operation.as_str() } else { &record.name }.to_owned();
        let environment = context.environment.as_deref().filter(|environment| !environment.is_empty());
        let (input, output) = (chatml::input(record), chatml::output(record));
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
            copies: !once && size(&input) + size(&output) < COPIES_BELOW,
            input,
            output,
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
            fault: Fault::of(record),
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
            LangfuseObservations::Full => full(record, root, ids, kind, generation, trace.copies),
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

/// Bytes of a value as JSON, or about that many where there are more than matter.
fn size(value: &Option<Value>) -> usize {
    struct Count(usize);

    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            if self.0 > COPIES_BELOW { Err(std::io::ErrorKind::StorageFull.into()) } else { Ok(bytes.len()) }
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    let mut count = Count(0);
    // The only failure is to be large, and that is counted.
    let _ = value.as_ref().map(|value| serde_json::to_writer(&mut count, value));
    count.0
}

fn full(
    record: &CallRecord,
    root: Observation,
    ids: Ids,
    kind: Kind,
    generation: Generation,
    copies: bool,
) -> Vec<Observation> {
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
