#include <bit>
#include <cstring>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/convert.h"

namespace heed {
inline namespace client {
namespace {

static_assert(std::endian::native == std::endian::little, "tensors travel little-endian");

template <typename T>
std::vector<T> ToVector(const google::protobuf::RepeatedField<T>& field) {
  return std::vector<T>(field.begin(), field.end());
}

// The elements of a tensor that must have `expected_count` of them.
absl::StatusOr<std::vector<float>> ToFloats(const v1::Tensor& tensor, int64_t expected_count) {
  const auto byte_count = static_cast<int64_t>(tensor.data().size());
  if (tensor.dtype() != v1::DATA_TYPE_F32 || byte_count % 4 != 0 ||
      byte_count / 4 != expected_count) {
    return absl::InternalError(
        absl::StrCat("the server sent a tensor of type ", v1::DataType_Name(tensor.dtype()),
                     ", shape [", absl::StrJoin(tensor.shape(), ", "), "] and ", byte_count,
                     " bytes; expected ", expected_count, " F32 elements"));
  }
  std::vector<float> values(expected_count);
  if (byte_count > 0) std::memcpy(values.data(), tensor.data().data(), byte_count);
  return values;
}

absl::Duration FromWire(const google::protobuf::Duration& duration) {
  return absl::Seconds(duration.seconds()) + absl::Nanoseconds(duration.nanos());
}

Timings FromWire(const v1::Timings& timings) {
  return {FromWire(timings.tokenize()), FromWire(timings.queue()),
          FromWire(timings.compute()),  timings.cached_token_count(),
          timings.draft_token_count(),  timings.accepted_token_count()};
}

ModelIdentity FromWire(const v1::ModelIdentity& identity) {
  return {identity.name(), identity.digest()};
}

Provenance FromWire(const v1::Provenance& provenance) {
  return {provenance.compute_dtype(), provenance.definition(), provenance.intervention_count(),
          provenance.counterfactual_mask(), provenance.trace_id()};
}

Token FromWire(const v1::Token& token) {
  return {token.id(),         token.text(),     token.bytes(),  token.piece(),
          token.byte_begin(), token.byte_end(), token.special()};
}

template <typename Field>
std::vector<Token> FromWireTokens(const Field& tokens) {
  std::vector<Token> result;
  result.reserve(tokens.size());
  for (const v1::Token& token : tokens) result.push_back(FromWire(token));
  return result;
}

Candidate FromWire(const v1::Candidate& candidate) {
  return {FromWire(candidate.token()), candidate.probability(), candidate.log_probability(),
          candidate.rank()};
}

Truncation FromWire(v1::Truncation truncation) {
  if (truncation == v1::TRUNCATION_LEFT) return Truncation::kLeft;
  if (truncation == v1::TRUNCATION_RIGHT) return Truncation::kRight;
  return Truncation::kRefuse;
}

PromptInfo FromWire(const v1::PromptInfo& prompt) {
  return {FromWireTokens(prompt.tokens()), prompt.dropped_token_count(),
          FromWire(prompt.truncation())};
}

AttentionDirection FromWire(v1::AttentionDirection direction) {
  if (direction == v1::ATTENTION_DIRECTION_CAUSAL) return AttentionDirection::kCausal;
  if (direction == v1::ATTENTION_DIRECTION_BIDIRECTIONAL) return AttentionDirection::kBidirectional;
  return AttentionDirection::kUnknown;
}

Capability FromWire(int capability) {
  switch (capability) {
    case v1::CAPABILITY_PREDICT:
      return Capability::kPredict;
    case v1::CAPABILITY_GENERATE:
      return Capability::kGenerate;
    case v1::CAPABILITY_ATTENTION:
      return Capability::kAttention;
    case v1::CAPABILITY_EMBED:
      return Capability::kEmbed;
    default:
      return Capability::kUnknown;
  }
}

Mixing FromWire(v1::MixingPattern mixing) {
  switch (mixing) {
    case v1::MIXING_PATTERN_ATTENTION:
      return Mixing::kAttention;
    case v1::MIXING_PATTERN_LAST_WORD:
      return Mixing::kLastWord;
    case v1::MIXING_PATTERN_AVERAGE:
      return Mixing::kAverage;
    case v1::MIXING_PATTERN_WEIGHTED:
      return Mixing::kWeighted;
    default:
      return Mixing::kUnknown;
  }
}

Pooling FromWire(v1::Pooling pooling) {
  switch (pooling) {
    case v1::POOLING_MEAN:
      return Pooling::kMean;
    case v1::POOLING_CLS:
      return Pooling::kCls;
    case v1::POOLING_LAST:
      return Pooling::kLast;
    default:
      return Pooling::kDefault;
  }
}

TokenizerInfo FromWire(const v1::TokenizerInfo& tokenizer) {
  TokenizerInfo info;
  info.kind = tokenizer.kind();
  info.vocabulary_size = tokenizer.vocabulary_size();
  info.added_special_token_count = tokenizer.added_special_token_count();
  info.end_of_text_ids = ToVector(tokenizer.end_of_text_ids());
  if (tokenizer.has_mask_id()) info.mask_id = tokenizer.mask_id();
  info.mask_text = tokenizer.mask_text();
  return info;
}

FinishReason FromWire(v1::FinishReason reason) {
  switch (reason) {
    case v1::FINISH_REASON_LENGTH:
      return FinishReason::kLength;
    case v1::FINISH_REASON_CONTEXT:
      return FinishReason::kContext;
    case v1::FINISH_REASON_END_OF_TEXT:
      return FinishReason::kEndOfText;
    case v1::FINISH_REASON_STOP_TEXT:
      return FinishReason::kStopText;
    case v1::FINISH_REASON_STOP_ID:
      return FinishReason::kStopId;
    default:
      return FinishReason::kUnknown;
  }
}

absl::StatusOr<PositionPrediction> FromWire(const v1::PositionPrediction& prediction) {
  PositionPrediction result;
  result.position = prediction.position();
  for (const auto& candidate : prediction.candidates()) {
    result.candidates.push_back(FromWire(candidate));
  }
  if (prediction.has_log_probabilities()) {
    const v1::Tensor& tensor = prediction.log_probabilities();
    const int64_t count = tensor.shape_size() == 1 ? tensor.shape(0) : -1;
    auto values = ToFloats(tensor, count);
    if (!values.ok()) return values.status();
    result.log_probabilities = *std::move(values);
  }
  result.entropy = prediction.entropy();
  if (prediction.has_actual()) result.actual = FromWire(prediction.actual());
  return result;
}

absl::StatusOr<TextEmbedding> FromWire(const v1::TextEmbedding& wire) {
  TextEmbedding embedding;
  embedding.prompt = FromWire(wire.prompt());
  const v1::Tensor& vector = wire.vector();
  auto values = ToFloats(vector, vector.shape_size() == 1 ? vector.shape(0) : -1);
  if (!values.ok()) return values.status();
  embedding.vector = *std::move(values);
  if (!wire.has_token_vectors()) return embedding;
  const v1::Tensor& tokens = wire.token_vectors();
  const auto count = static_cast<int64_t>(embedding.prompt.tokens.size());
  const bool fits = tokens.shape_size() == 2 && tokens.shape(0) == count && tokens.shape(1) >= 1 &&
                    tokens.shape(1) <= int64_t{1} << 31;
  auto rows = ToFloats(tokens, fits ? count * tokens.shape(1) : -1);
  if (!rows.ok()) return rows.status();
  embedding.token_vectors = *std::move(rows);
  return embedding;
}

absl::Status FillTopK(const v1::TopKWeights& top_k, AttentionTile& tile) {
  const auto rows = static_cast<int64_t>(tile.queries.size());
  if (top_k.k() < 1 || top_k.keys_size() != rows * top_k.k()) {
    return absl::InternalError(absl::StrCat("the server sent ", top_k.keys_size(), " keys for ",
                                            rows, " rows of ", top_k.k()));
  }
  tile.top_k = top_k.k();
  tile.keys = ToVector(top_k.keys());
  auto weights = ToFloats(top_k.weights(), rows * top_k.k());
  if (!weights.ok()) return weights.status();
  tile.weights = *std::move(weights);
  auto dropped = ToFloats(top_k.dropped_mass(), rows);
  if (!dropped.ok()) return dropped.status();
  tile.dropped_mass = *std::move(dropped);
  return absl::OkStatus();
}

absl::Status FillDense(const v1::Tensor& tensor, AttentionTile& tile) {
  const auto rows = static_cast<int64_t>(tile.queries.size());
  if (tensor.shape_size() != 2 || tensor.shape(0) != rows || tensor.shape(1) < 1 ||
      tensor.shape(1) > int64_t{1} << 31) {
    return absl::InternalError(absl::StrCat("the server sent a tile of shape [",
                                            absl::StrJoin(tensor.shape(), ", "), "] for ", rows,
                                            " rows"));
  }
  auto weights = ToFloats(tensor, rows * tensor.shape(1));
  if (!weights.ok()) return weights.status();
  tile.weights = *std::move(weights);
  return absl::OkStatus();
}

absl::StatusOr<AttentionTile> FromWire(const v1::AttentionTile& wire) {
  AttentionTile tile;
  tile.layer = wire.layer();
  tile.head = wire.head();
  tile.queries = ToVector(wire.queries());
  const absl::Status status =
      wire.has_top_k() ? FillTopK(wire.top_k(), tile) : FillDense(wire.weights(), tile);
  if (!status.ok()) return status;
  return tile;
}

AttentionHeader FromWire(const v1::AttentionHeader& wire) {
  AttentionHeader header;
  header.model = FromWire(wire.model());
  header.prompt = FromWire(wire.prompt());
  header.layers = ToVector(wire.layers());
  header.heads = ToVector(wire.heads());
  header.queries = ToVector(wire.queries());
  header.key_count = wire.key_count();
  header.causal = wire.causal();
  header.total_bytes = wire.total_bytes();
  header.provenance = FromWire(wire.provenance());
  return header;
}

AttentionEnd FromWire(const v1::AttentionEnd& wire) {
  return {wire.tile_count(), FromWire(wire.timings())};
}

absl::StatusOr<GeneratedToken> FromWire(const v1::GeneratedToken& wire) {
  GeneratedToken token;
  token.position = wire.position();
  token.token = FromWire(wire.token());
  token.probability = wire.probability();
  token.log_probability = wire.log_probability();
  token.rank = wire.rank();
  token.entropy = wire.entropy();
  for (const auto& candidate : wire.alternatives()) {
    token.alternatives.push_back(FromWire(candidate));
  }
  token.text_delta = wire.text_delta();
  for (const auto& wire_tile : wire.attention()) {
    auto tile = FromWire(wire_tile);
    if (!tile.ok()) return tile.status();
    token.attention.push_back(*std::move(tile));
  }
  return token;
}

GenerateStart FromWire(const v1::GenerateStart& wire) {
  GenerateStart start{FromWire(wire.model()), FromWire(wire.prompt()), std::nullopt,
                      FromWire(wire.provenance())};
  if (wire.has_seed()) start.seed = wire.seed();
  return start;
}

GenerateEnd FromWire(const v1::GenerateEnd& wire) {
  GenerateEnd end;
  end.finish_reason = FromWire(wire.finish_reason());
  end.stop_text = wire.stop_text();
  if (wire.has_stop_id()) end.stop_id = wire.stop_id();
  end.text_delta = wire.text_delta();
  end.generated_token_count = wire.generated_token_count();
  end.timings = FromWire(wire.timings());
  return end;
}

}  // namespace

ModelInfo FromWire(const v1::Model& model) {
  ModelInfo info;
  info.identity = FromWire(model.identity());
  info.architecture = model.architecture();
  info.direction = FromWire(model.direction());
  info.parameter_count = model.parameter_count();
  info.layer_count = model.layer_count();
  info.head_count = model.head_count();
  info.kv_head_count = model.kv_head_count();
  info.head_dim = model.head_dim();
  info.hidden_size = model.hidden_size();
  info.feed_forward_size = model.feed_forward_size();
  info.vocabulary_size = model.vocabulary_size();
  info.context_window = model.context_window();
  info.checkpoint_dtype = model.checkpoint_dtype();
  info.compute_dtype = model.compute_dtype();
  info.kv_cache_dtype = model.kv_cache_dtype();
  info.weight_bytes = model.weight_bytes();
  info.tokenizer = FromWire(model.tokenizer());
  for (int capability : model.capabilities()) info.capabilities.push_back(FromWire(capability));
  info.mixing = FromWire(model.mixing());
  return info;
}

TokenizeResult FromWire(const v1::TokenizeResponse& response) {
  return {FromWire(response.model()), FromWireTokens(response.tokens()),
          FromWire(response.timings())};
}

DetokenizeResult FromWire(const v1::DetokenizeResponse& response) {
  return {FromWire(response.model()), response.text(), response.bytes(),
          FromWireTokens(response.tokens()), FromWire(response.timings())};
}

absl::StatusOr<PredictResult> FromWire(const v1::PredictResponse& response) {
  PredictResult result;
  result.model = FromWire(response.model());
  result.provenance = FromWire(response.provenance());
  result.prompt = FromWire(response.prompt());
  for (const auto& wire : response.predictions()) {
    auto prediction = FromWire(wire);
    if (!prediction.ok()) return prediction.status();
    result.predictions.push_back(*std::move(prediction));
  }
  result.timings = FromWire(response.timings());
  return result;
}

absl::StatusOr<GenerateEvent> FromWire(const v1::GenerateResponse& response) {
  switch (response.event_case()) {
    case v1::GenerateResponse::kStart:
      return FromWire(response.start());
    case v1::GenerateResponse::kToken:
      return FromWire(response.token());
    case v1::GenerateResponse::kEnd:
      return FromWire(response.end());
    default:
      return absl::InternalError("the server sent a generation message without an event");
  }
}

absl::StatusOr<AttentionEvent> FromWire(const v1::GetAttentionResponse& response) {
  switch (response.part_case()) {
    case v1::GetAttentionResponse::kHeader:
      return FromWire(response.header());
    case v1::GetAttentionResponse::kTile:
      return FromWire(response.tile());
    case v1::GetAttentionResponse::kEnd:
      return FromWire(response.end());
    default:
      return absl::InternalError("the server sent an attention message without a part");
  }
}

absl::StatusOr<EmbedResult> FromWire(const v1::EmbedResponse& response) {
  EmbedResult result;
  result.model = FromWire(response.model());
  for (const auto& wire : response.embeddings()) {
    auto embedding = FromWire(wire);
    if (!embedding.ok()) return embedding.status();
    result.embeddings.push_back(*std::move(embedding));
  }
  result.pooling = FromWire(response.pooling());
  result.normalized = response.normalized();
  result.timings = FromWire(response.timings());
  return result;
}

}  // namespace client
}  // namespace heed
