// Core facts of models and tokens -> messages.
#ifndef HEED_SERVER_CONVERT_MODEL_H_
#define HEED_SERVER_CONVERT_MODEL_H_

#include "absl/time/time.h"
#include "absl/types/span.h"
#include "google/protobuf/duration.pb.h"
#include "heed/v1/model.pb.h"
#include "heed/v1/types.pb.h"
#include "model/generate/distribution.h"
#include "model/inspect/intervention_set.h"
#include "model/tokenizer/tokenizer.h"
#include "server/engine/registry.h"
#include "server/engine/scheduler.h"

namespace heed {

void FillModel(const ServedModel& model, v1::Model* out);
void FillIdentity(const ServedModel& model, v1::ModelIdentity* out);

// Model and format.
void FillModelProvenance(const ServedModel& model, v1::Provenance* out);
// The same and what changed the run.
void FillEditProvenance(const ServedModel& model, int intervention_count,
                        const InterventionSet* edits, v1::Provenance* out);

// Everything about one token. `range` is of the request's text, or empty. Without a tokenizer only
// the id is known.
void FillToken(const Tokenizer* tokenizer, TokenId id, ByteRange range, v1::Token* out);

// F32 [shape], `values` row-major.
void FillTensor(absl::Span<const float> values, absl::Span<const int64_t> shape, v1::Tensor* out);

void FillDuration(absl::Duration duration, google::protobuf::Duration* out);
void FillTimings(absl::Duration tokenize, const EngineTimings& engine, v1::Timings* out);

}  // namespace heed

#endif  // HEED_SERVER_CONVERT_MODEL_H_
