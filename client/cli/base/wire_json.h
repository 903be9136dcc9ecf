// Any message of the wire as JSON that people and programs read: field names as on the wire with
// the unit added where the name does not tell it (entropy_nats, timings_ms), enums by name (what
// was cut off a prompt as json_parts.h has it: none, left, right), tensors as numbers with their
// shape, durations in milliseconds.
#ifndef HEED_CLIENT_CLI_BASE_WIRE_JSON_H_
#define HEED_CLIENT_CLI_BASE_WIRE_JSON_H_

#include "client/cli/base/json.h"
#include "google/protobuf/message.h"

namespace heed::cli {

// Fields that are not set are left out, but for numbers and texts of the message itself that have a
// default. Infinities and NaN, which JSON lacks, are null.
void WriteWireMessage(JsonWriter& json, const google::protobuf::Message& message);
// The same without the braces, into an object that is open.
void WriteWireFields(JsonWriter& json, const google::protobuf::Message& message);

}  // namespace heed::cli

#endif  // HEED_CLIENT_CLI_BASE_WIRE_JSON_H_
