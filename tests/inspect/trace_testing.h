// Traces of golden models, for the tests of reads.
#ifndef HEED_TESTS_INSPECT_TRACE_TESTING_H_
#define HEED_TESTS_INSPECT_TRACE_TESTING_H_

#include <algorithm>
#include <cstdint>
#include <memory>
#include <numeric>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "model/inspect/attention_read.h"
#include "model/inspect/trace.h"
#include "tests/transformer/model_testing.h"

namespace heed {

inline constexpr SiteSet kEverySite = {Site::kResidual, Site::kResidualMid, Site::kAttentionOut,
                                       Site::kMlpOut, Site::kMixed};

// The trace of one call with all of `ids`. Sites that the model lacks are left out of `sites`.
inline std::shared_ptr<const Trace> TraceOf(const LanguageModel& model,
                                            const std::vector<TokenId>& ids, SiteSet sites,
                                            std::shared_ptr<ForwardEditor> editor = nullptr) {
  SiteSet kept;
  for (Site site : kAllSites) {
    if (sites.Has(site) && HasSite(model.config(), site)) kept.Add(site);
  }
  auto recorder = TraceRecorder::Create(model.config(), kept, static_cast<int64_t>(ids.size()));
  EXPECT_TRUE(recorder.ok()) << recorder.status();
  if (!recorder.ok()) return nullptr;
  Runner(&model, recorder->get(), editor.get()).Append(ids);
  return (*recorder)->Finish(ids, std::move(editor));
}

// 0, 1, ... n - 1.
template <typename T = int64_t>
std::vector<T> FirstOf(int64_t n) {
  std::vector<T> all(n);
  std::iota(all.begin(), all.end(), T{0});
  return all;
}

inline std::vector<TokenId> SomeTokens(const ModelConfig& config, int64_t n) {
  std::vector<TokenId> ids;
  for (int64_t i = 0; i < n; ++i)
    ids.push_back(static_cast<TokenId>(i * i % 23 % config.vocab_size));
  return ids;
}

// Calls fn(model, tokens) for golden models of every structure.
template <typename Fn>
void ForEachModel(const Fn& fn, WeightFormat format = WeightFormat::kF32,
                  KvType kv_type = KvType::kF32) {
  for (const char* name :
       {"gpt2-f32", "llama-gqa-f32", "bert-f32", "mixing-last-word", "mixing-average",
        "mixing-weighted-pos", "mixing-attention-pos", "mistral-bf16", "gemma2-f32", "neox-f16",
        "opt-post-norm-f16", "bloom-f16", "albert-f16", "modernbert-f16"}) {
    SCOPED_TRACE(name);
    const auto model = LoadGolden(name, DefaultBackend(), format, kv_type);
    ASSERT_NE(model, nullptr);
    fn(*model, SomeTokens(model->config(), 21));
  }
}

// Rows of one layer, [heads, queries, size].
inline std::vector<float> ReadAll(const LayerAttention& attention, AttentionStage stage,
                                  const std::vector<int>& heads,
                                  const std::vector<int64_t>& queries) {
  const int64_t n = attention.trace().size();
  std::vector<float> all(heads.size() * queries.size() * n, -1);
  attention.Read(stage, heads, queries, [&](int head, int64_t query, absl::Span<const float> row) {
    const auto h = std::find(heads.begin(), heads.end(), head) - heads.begin();
    const auto q = std::find(queries.begin(), queries.end(), query) - queries.begin();
    std::copy(row.begin(), row.end(), all.begin() + (h * queries.size() + q) * n);
  });
  return all;
}

}  // namespace heed

#endif  // HEED_TESTS_INSPECT_TRACE_TESTING_H_
