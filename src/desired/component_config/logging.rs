//! What every component's configuration says of its log.

use super::shape::Shape::{Bool, DurationOrNanoseconds, List, Quantity, Struct, Text};
use super::shape::{Field, UINT32, always, unless_zero};

pub(super) const LOGGING: &[Field] = &[
    always("flushFrequency", DurationOrNanoseconds).since(23),
    unless_zero("format", Text),
    always("options", Struct(FORMAT_OPTIONS)).since(23),
    always("verbosity", UINT32).since(23),
    unless_zero("vmodule", List(&Struct(VMODULE_ITEM))).since(23),
];

const FORMAT_OPTIONS: &[Field] =
    &[always("json", Struct(OUTPUT_ROUTING_OPTIONS)), always("text", Struct(OUTPUT_ROUTING_OPTIONS)).since(30)];

const OUTPUT_ROUTING_OPTIONS: &[Field] = &[always("infoBufferSize", Quantity), unless_zero("splitStream", Bool)];

const VMODULE_ITEM: &[Field] = &[always("filePattern", Text), always("verbosity", UINT32)];
