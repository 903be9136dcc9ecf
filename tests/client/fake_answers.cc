#include "tests/client/fake_answers.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace heed::testing {
namespace {

constexpr char kDigest[] =
    "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

constexpr const char* kWords[] = {"the",  " keys", " to", " the", " cabinet", " were",
                                  " are", " was",  " is", " on",  " table"};

void SetMillis(google::protobuf::Duration* duration, double millis) {
  duration->set_nanos(static_cast<int32_t>(millis * 1e6));
}

// A row as top-k: keys and weights, and what is left out.
void AppendTopK(const std::vector<float>& row, int k, v1::TopKWeights* top_k,
                std::vector<float>& weights, std::vector<float>& dropped) {
  std::vector<int> keys;
  for (size_t i = 0; i < row.size(); ++i) keys.push_back(static_cast<int>(i));
  std::stable_sort(keys.begin(), keys.end(), [&](int a, int b) { return row[a] > row[b]; });
  float left = 1;
  for (int i = 0; i < k; ++i) {
    const bool has_key = i < static_cast<int>(keys.size());
    top_k->add_keys(has_key ? keys[i] : -1);
    weights.push_back(has_key ? row[keys[i]] : 0);
    left -= weights.back();
  }
  dropped.push_back(std::max(left, 0.0F));
}

}  // namespace

grpc::Status HeedError(grpc::StatusCode code, const std::string& message, const std::string& reason,
                       const std::vector<std::pair<std::string, std::string>>& metadata,
                       const std::vector<std::pair<std::string, std::string>>& wrong_fields) {
  google::rpc::Status status;
  status.set_code(code);
  status.set_message(message);
  google::rpc::ErrorInfo info;
  info.set_reason(reason);
  info.set_domain("heed");
  for (const auto& [key, value] : metadata) (*info.mutable_metadata())[key] = value;
  status.add_details()->PackFrom(info);
  if (!wrong_fields.empty()) {
    google::rpc::BadRequest bad;
    for (const auto& [field, description] : wrong_fields) {
      auto* violation = bad.add_field_violations();
      violation->set_field(field);
      violation->set_description(description);
    }
    status.add_details()->PackFrom(bad);
  }
  return grpc::Status(code, message, status.SerializeAsString());
}

std::vector<v1::Token> FakeTokens(const std::string& text) {
  std::vector<v1::Token> tokens;
  size_t begin = 0;
  while (begin < text.size()) {
    size_t end = text.find(' ', begin + 1);
    if (end == std::string::npos) end = text.size();
    tokens.push_back(MakeToken(text.substr(begin, end - begin)));
    tokens.back().set_byte_begin(static_cast<int64_t>(begin));
    tokens.back().set_byte_end(static_cast<int64_t>(end));
    begin = end;
  }
  return tokens;
}

std::vector<float> FakeRow(int pattern, int64_t query, int64_t visible_keys) {
  std::vector<float> row(visible_keys, 1);
  for (int64_t key = 0; key < visible_keys; ++key) {
    if (pattern == 0 && key == query - 1) row[key] = 12;
    if (pattern == 1 && key == 0) row[key] = 20;
    if (pattern == 2 && key == 1) row[key] = 16;
    if (pattern == 3) row[key] = static_cast<float>(key + 1);
  }
  float sum = 0;
  for (float weight : row) sum += weight;
  for (float& weight : row) weight /= sum;
  return row;
}

std::vector<float> FakeTokenVector(int32_t id, int64_t position) {
  return {static_cast<float>(id % 10), static_cast<float>(position), 1};
}

v1::Token MakeToken(const std::string& bytes) {
  v1::Token token;
  if (bytes == kFakeMask || bytes == absl::StrCat(" ", kFakeMask)) {
    token.set_id(kFakeMaskId);
    token.set_bytes(bytes);
    token.set_text(bytes);
    token.set_piece(kFakeMask);
    token.set_special(true);
    return token;
  }
  const auto word = std::find(std::begin(kWords), std::end(kWords), bytes);
  token.set_id(word == std::end(kWords) ? 900 + static_cast<int>(bytes.size())
                                        : 100 + static_cast<int>(word - std::begin(kWords)));
  token.set_text(bytes);
  token.set_bytes(bytes);
  token.set_piece(bytes[0] == ' ' ? "Ġ" + bytes.substr(1) : bytes);
  return token;
}

v1::Token FakeTokenOf(int32_t id) {
  return MakeToken(kWords[(id - 100) % std::size(kWords)]);
}

v1::Candidate MakeCandidate(const std::string& bytes, double probability, int rank) {
  v1::Candidate candidate;
  *candidate.mutable_token() = MakeToken(bytes);
  candidate.set_probability(probability);
  candidate.set_log_probability(std::log(probability));
  candidate.set_rank(rank);
  return candidate;
}

void FillTimings(v1::Timings* timings) {
  SetMillis(timings->mutable_tokenize(), 0.1);
  SetMillis(timings->mutable_queue(), 0.2);
  SetMillis(timings->mutable_compute(), 3.1);
}

void FillIdentity(const std::string& asked, v1::ModelIdentity* identity) {
  identity->set_name(asked.empty() ? "decoder" : asked);
  identity->set_digest(kDigest);
}

void FillPrompt(const v1::Prompt& prompt, v1::PromptInfo* info) {
  if (prompt.has_text()) {
    for (v1::Token& token : FakeTokens(prompt.text())) *info->add_tokens() = std::move(token);
    return;
  }
  for (int32_t id : prompt.tokens().ids()) {
    v1::Token token = MakeToken(kWords[id % std::size(kWords)]);
    token.set_id(id);
    *info->add_tokens() = std::move(token);
  }
}

void FillTensor(const std::vector<float>& values, const std::vector<int64_t>& shape,
                v1::Tensor* tensor) {
  tensor->set_dtype(v1::DATA_TYPE_F32);
  for (int64_t size : shape) tensor->add_shape(size);
  tensor->set_data(std::string(reinterpret_cast<const char*>(values.data()), values.size() * 4));
}

v1::AttentionTile MakeTile(const FakeScript& script, int layer, int head,
                           const std::vector<int64_t>& queries, int64_t key_count, int k) {
  v1::AttentionTile tile;
  tile.set_layer(layer);
  tile.set_head(head);
  std::vector<float> weights;
  std::vector<float> dropped;
  for (int64_t query : queries) {
    tile.add_queries(query);
    std::vector<float> row =
        FakeRow((layer * script.heads + head) % 4, query, script.causal ? query + 1 : key_count);
    if (k > 0) {
      AppendTopK(row, k, tile.mutable_top_k(), weights, dropped);
    } else {
      row.resize(key_count, 0);
      weights.insert(weights.end(), row.begin(), row.end());
    }
  }
  const auto rows = static_cast<int64_t>(queries.size());
  if (k > 0) {
    tile.mutable_top_k()->set_k(k);
    FillTensor(weights, {rows, k}, tile.mutable_top_k()->mutable_weights());
    FillTensor(dropped, {rows}, tile.mutable_top_k()->mutable_dropped_mass());
  } else {
    FillTensor(weights, {rows, key_count}, tile.mutable_weights());
  }
  return tile;
}

}  // namespace heed::testing
