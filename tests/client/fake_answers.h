// What the fake server says: tokens, numbers and messages that follow from positions alone.
#ifndef HEED_TESTS_CLIENT_FAKE_ANSWERS_H_
#define HEED_TESTS_CLIENT_FAKE_ANSWERS_H_

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "grpcpp/grpcpp.h"
#include "heed/v1/embedding.pb.h"
#include "heed/v1/inspection.pb.h"
#include "heed/v1/model.pb.h"
#include "heed/v1/prediction.pb.h"

namespace heed::testing {

// What the fake says next. Set before the calls that should see it.
struct FakeScript {
  std::vector<std::string> models = {"decoder"};  // the first is the default one
  std::vector<std::string> bidirectional;         // those of them that see both ways
  int layers = 2;
  int heads = 2;
  bool causal = true;  // a bidirectional model has a mask token
  v1::MixingPattern mixing = v1::MIXING_PATTERN_ATTENTION;
  std::vector<v1::Capability> capabilities = {v1::CAPABILITY_PREDICT, v1::CAPABILITY_GENERATE,
                                              v1::CAPABILITY_ATTENTION, v1::CAPABILITY_EMBED};
  std::vector<std::string> answer = {" were", " on", " the", " table"};  // of Generate
  bool endless = false;  // Generate goes on until the call is cancelled
  // Called with each attention message before it is sent, to damage it; false leaves it out.
  std::function<bool(v1::GetAttentionResponse&)> edit_attention;
  std::function<void(v1::PredictResponse&)> edit_predict;
  // Called with the model of each Predict and GetAttention call, which ends with the result unless
  // that is OK. From several threads at a time, as the functions above are when calls come
  // together.
  std::function<grpc::Status(const std::string& rpc, const std::string& model)> refuse;
  std::function<bool(v1::GenerateResponse&)> edit_generate;
  std::function<void(v1::EmbedResponse&)> edit_embed;
};

// A status as heed's server sends it: ErrorInfo always, BadRequest when there are wrong fields.
grpc::Status HeedError(grpc::StatusCode code, const std::string& message, const std::string& reason,
                       const std::vector<std::pair<std::string, std::string>>& metadata = {},
                       const std::vector<std::pair<std::string, std::string>>& wrong_fields = {});

// The tokens of a text: words, each with the space before it. Ids are 100 and up in the order of a
// fixed list of words; words outside it get 900 + their length.
std::vector<v1::Token> FakeTokens(const std::string& text);
v1::Token FakeTokenOf(int32_t id);  // of the list

// The weight that layer `layer`, head `head` gives: 0: mostly the position before; 1: mostly the
// first; 2: mostly position 1; 3: later ones more; then again from 0. [visible keys], summing to 1.
std::vector<float> FakeRow(int pattern, int64_t query, int64_t visible_keys);

// The vector of a token: its id's last digit, its position, and 1.
std::vector<float> FakeTokenVector(int32_t id, int64_t position);

inline constexpr char kFakeMask[] = "[MASK]";
inline constexpr int kFakeMaskId = 4;

v1::Token MakeToken(const std::string& bytes);
v1::Candidate MakeCandidate(const std::string& bytes, double probability, int rank);
void FillTimings(v1::Timings* timings);
void FillIdentity(const std::string& asked, v1::ModelIdentity* identity);
void FillPrompt(const v1::Prompt& prompt, v1::PromptInfo* info);
void FillTensor(const std::vector<float>& values, const std::vector<int64_t>& shape,
                v1::Tensor* tensor);

// Rows of one head: dense, or the `k` largest weights of each.
v1::AttentionTile MakeTile(const FakeScript& script, int layer, int head,
                           const std::vector<int64_t>& queries, int64_t key_count, int k);

// An index list of a selection, with negative values counted from the end and the default filled
// in.
template <typename T, typename Field>
std::vector<T> Resolve(const Field& field, int64_t count) {
  std::vector<T> result;
  for (auto index : field) result.push_back(static_cast<T>(index < 0 ? index + count : index));
  if (result.empty()) {
    for (int64_t i = 0; i < count; ++i) result.push_back(static_cast<T>(i));
  }
  return result;
}

}  // namespace heed::testing

#endif  // HEED_TESTS_CLIENT_FAKE_ANSWERS_H_
