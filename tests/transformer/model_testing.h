// Running the golden models, for the transformer tests.
#ifndef HEED_TESTS_TRANSFORMER_MODEL_TESTING_H_
#define HEED_TESTS_TRANSFORMER_MODEL_TESTING_H_

#include <map>
#include <memory>
#include <mutex>
#include <numeric>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "model/checkpoint/checkpoint.h"
#include "model/kernels/backend.h"
#include "model/transformer/language_model.h"

namespace heed {

inline std::string GoldenFolder(const std::string& name) {
  return std::string(HEED_SOURCE_DIR) + "/tests/golden/models/" + name;
}

// The golden checkpoints, each as transformers ran it or, for the mixing models, as the formulas
// say; see tests/golden/README.md.
inline const std::vector<std::string>& GoldenModels() {
  static const auto& names = *new std::vector<std::string>{"gpt2-f32",
                                                           "gpt2-bare-f16",
                                                           "llama-gqa-f32",
                                                           "llama-bf16",
                                                           "bert-f32",
                                                           "mixing-last-word",
                                                           "mixing-average",
                                                           "mixing-weighted",
                                                           "mixing-weighted-pos",
                                                           "mixing-attention",
                                                           "mixing-attention-pos",
                                                           "mistral-bf16",
                                                           "smollm-f32",
                                                           "qwen2-bf16",
                                                           "qwen3-bf16",
                                                           "gemma-bf16",
                                                           "gemma2-f32",
                                                           "gemma3-v4-bf16",
                                                           "gemma3-bf16",
                                                           "rope-linear-f16",
                                                           "rope-dynamic-f16",
                                                           "rope-yarn-f16",
                                                           "rope-yarn-factors-f16",
                                                           "rope-llama3-f16",
                                                           "gpt-neo-f16",
                                                           "neox-f16",
                                                           "neox-sequential-f16",
                                                           "phi-f16",
                                                           "phi-norms-f16",
                                                           "opt-f16",
                                                           "opt-post-norm-f16",
                                                           "bloom-f16",
                                                           "roberta-f32",
                                                           "distilbert-f16",
                                                           "albert-f16",
                                                           "modernbert-f16",
                                                           "phi3-bf16",
                                                           "phi3-long-f16",
                                                           "smollm3-bf16",
                                                           "starcoder2-f32",
                                                           "stablelm-f16",
                                                           "mpt-bf16",
                                                           "gemma3-vision-bf16",
                                                           "xlm-roberta-bf16",
                                                           "camembert-f16",
                                                           "electra-f32",
                                                           "gpt2-scaled-bf16",
                                                           "gpt-neo-untied-bf16",
                                                           "llama-biased-f32",
                                                           "rope-yarn-mscale-f16",
                                                           "mistral-full-f16",
                                                           "qwen2-yarn-f32",
                                                           "qwen3-windows-f16",
                                                           "gemma-f32",
                                                           "gemma2-bf16",
                                                           "gemma3-linear-f32",
                                                           "neox-linear-f32",
                                                           "phi-bf16",
                                                           "opt-bare-f32",
                                                           "bloom-bf16",
                                                           "modernbert-biased-bf16",
                                                           "bert-model-f16",
                                                           "roberta-model-bf16",
                                                           "distilbert-model-f32",
                                                           "albert-model-f32",
                                                           "electra-model-bf16",
                                                           "modernbert-model-f32"};
  return names;
}

inline std::unique_ptr<const LanguageModel> LoadFolder(const std::string& folder,
                                                       const Backend* backend,
                                                       WeightFormat weights = WeightFormat::kF32,
                                                       KvType kv_type = KvType::kF32) {
  auto checkpoint = OpenHuggingFaceFolder(folder);
  EXPECT_TRUE(checkpoint.ok()) << checkpoint.status();
  if (!checkpoint.ok()) return nullptr;
  auto model = LoadLanguageModel(**checkpoint, backend, {.weights = weights, .kv_type = kv_type});
  EXPECT_TRUE(model.ok()) << model.status();
  return model.ok() ? std::move(model).value() : nullptr;
}

inline std::unique_ptr<const LanguageModel> LoadGolden(const std::string& name,
                                                       const Backend* backend,
                                                       WeightFormat weights = WeightFormat::kF32,
                                                       KvType kv_type = KvType::kF32) {
  return LoadFolder(GoldenFolder(name), backend, weights, kv_type);
}

// Keeps every attention row of a pass, by (layer, head, query).
class AttentionRecorder : public ForwardObserver {
 public:
  explicit AttentionRecorder(const ModelConfig& config) {
    for (int h = 0; h < config.n_heads; ++h) heads_.push_back(h);
  }
  AttentionRows WantAttention(int layer, int64_t begin, int64_t end) override {
    queries_.clear();
    for (int64_t q = begin; q < end; ++q) queries_.push_back(q);
    return {heads_, queries_};
  }
  void OnAttentionRow(int layer, int head, int64_t query,
                      absl::Span<const float> weights) override {
    std::lock_guard<std::mutex> lock(mutex_);
    rows[{layer, head, query}].assign(weights.begin(), weights.end());
  }

  std::map<std::tuple<int, int, int64_t>, std::vector<float>> rows;

 private:
  std::vector<int> heads_;
  std::vector<int64_t> queries_;
  std::mutex mutex_;
};

// One sequence on a model of its own pool.
class Runner {
 public:
  explicit Runner(const LanguageModel* model, ForwardObserver* observer = nullptr,
                  ForwardEditor* editor = nullptr)
      : model_(model),
        plan_{observer, editor},
        pool_(KvLayout::For(model->config()), PagesFor(model->config().context_window)),
        cache_(&pool_),
        workspace_(model->NewWorkspace()) {
    EXPECT_TRUE(cache_.Reserve(model->config().context_window).ok());
  }

  // How many tokens the sequence's prompt has; without it, as many as the first call appends.
  void set_prompt_tokens(size_t n) { prompt_tokens_ = static_cast<int64_t>(n); }

  // Appends tokens and returns the logits of each, [tokens, vocab]; none of a model without a head.
  std::vector<float> Append(absl::Span<const TokenId> tokens) {
    std::vector<int64_t> rows(model_->config().has_head ? tokens.size() : 0);
    std::iota(rows.begin(), rows.end(), 0);
    std::vector<float> logits(rows.size() * model_->config().vocab_size);
    const bool is_plain = plan_.observer == nullptr && plan_.editor == nullptr;
    SequenceSlice slice{tokens, &cache_, rows, is_plain ? nullptr : &plan_};
    if (prompt_tokens_ == 0) set_prompt_tokens(tokens.size());
    slice.prompt_tokens = prompt_tokens_;
    const MatrixRef out(logits.data(), static_cast<int64_t>(rows.size()),
                        model_->config().vocab_size);
    EXPECT_TRUE(model_->Forward(absl::MakeSpan(&slice, 1), out, workspace_.get()).ok());
    EXPECT_FALSE(slice.stopped);
    return logits;
  }

  KvCache& cache() { return cache_; }

 private:
  const LanguageModel* model_;
  ForwardPlan plan_;
  KvPool pool_;
  KvCache cache_;
  std::unique_ptr<Workspace> workspace_;
  int64_t prompt_tokens_ = 0;
};

}  // namespace heed

#endif  // HEED_TESTS_TRANSFORMER_MODEL_TESTING_H_
