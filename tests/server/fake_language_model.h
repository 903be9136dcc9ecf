// A LanguageModel for tests of what surrounds one. Its logits are a hash of the tokens that a
// position may look at, which it keeps in the KV cache, so that a wrong token, a wrong order, a
// lost chunk or a shared page changes every later row.
#ifndef HEED_TESTS_SERVER_FAKE_LANGUAGE_MODEL_H_
#define HEED_TESTS_SERVER_FAKE_LANGUAGE_MODEL_H_

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/types/span.h"
#include "model/base/status_macros.h"
#include "model/transformer/language_model.h"
#include "server/engine/registry.h"

namespace heed {

inline ModelConfig FakeConfig() {
  ModelConfig config;
  config.architecture = "fake";
  config.n_layers = 1;
  config.n_heads = 1;
  config.n_kv_heads = 1;
  config.head_dim = 1;
  config.width = 1;
  config.ffn_width = 1;
  config.vocab_size = 23;
  config.context_window = 256;
  return config;
}

// Mixes `value` into `hash` (the finaliser of splitmix64, Steele et al. 2014).
inline uint64_t MixHash(uint64_t hash, uint64_t value) {
  uint64_t z = hash * 31 + value + 0x9e3779b97f4a7c15;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

// The fake's hidden state at a position that holds `token`: [width].
inline std::vector<float> FakeState(TokenId token, int64_t position, int64_t width) {
  std::vector<float> state;
  for (int64_t i = 0; i < width; ++i) {
    state.push_back(static_cast<float>(token * (i + 1) + position));
  }
  return state;
}

// The fake's logits at `position` of a sequence of which it sees `tokens`, each in [0, 1).
inline std::vector<float> FakeLogits(absl::Span<const TokenId> tokens, int64_t position,
                                     int64_t vocab_size) {
  uint64_t hash = MixHash(1, static_cast<uint64_t>(position));
  for (TokenId token : tokens) hash = MixHash(hash, static_cast<uint64_t>(token));
  std::vector<float> logits;
  for (int64_t id = 0; id < vocab_size; ++id) {
    logits.push_back(static_cast<float>(MixHash(hash, static_cast<uint64_t>(id)) >> 40) /
                     static_cast<float>(1 << 24));
  }
  return logits;
}

inline TokenId ArgMax(absl::Span<const float> logits) {
  return static_cast<TokenId>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

// What greedy decoding of `count` tokens gives with a causal fake.
inline std::vector<TokenId> FakeContinuation(std::vector<TokenId> tokens, int64_t count,
                                             int64_t vocab_size = FakeConfig().vocab_size) {
  std::vector<TokenId> answer;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t last = static_cast<int64_t>(tokens.size()) - 1;
    tokens.push_back(ArgMax(FakeLogits(tokens, last, vocab_size)));
    answer.push_back(tokens.back());
  }
  return answer;
}

// One slice of one Forward call, as it came.
struct SliceRecord {
  int64_t begin = 0;  // cache->size() before the call
  std::vector<TokenId> tokens;
  std::vector<int64_t> logits_rows;

  int64_t end() const { return begin + static_cast<int64_t>(tokens.size()); }
};
using BatchRecord = std::vector<SliceRecord>;

// Thread-safe.
class FakeLanguageModel : public LanguageModel {
 public:
  // Runs first in each Forward; what it returns or throws, Forward does.
  using Hook = std::function<absl::Status(absl::Span<const SequenceSlice>)>;

  explicit FakeLanguageModel(ModelConfig config = FakeConfig()) : config_(std::move(config)) {}

  const ModelConfig& config() const override { return config_; }
  int64_t parameter_count() const override { return 1; }
  int64_t weight_bytes() const override { return 4; }
  std::string compute_dtype() const override { return "F32"; }
  const std::vector<std::string>& notes() const override { return notes_; }
  const ModelParts& parts() const override { return parts_; }
  std::unique_ptr<Workspace> NewWorkspace() const override {
    ++workspaces_;
    return std::make_unique<Workspace>();
  }
  // How many NewWorkspace has made.
  int workspaces() const { return workspaces_; }

  absl::Status Forward(absl::Span<SequenceSlice> batch, MatrixRef logits,
                       Workspace* workspace) const override {
    Record(batch);
    WaitForPermission();
    HEED_RETURN_IF_ERROR(RunHook(batch));
    if (workspace == nullptr) return absl::InternalError("Forward was given no workspace");
    int64_t row = 0;
    for (SequenceSlice& slice : batch) {
      slice.stopped = slice.stop != nullptr && slice.stop->ShouldStop();
      slice.nonfinite_row = FirstPoisoned(slice);
      if (!slice.stopped) HEED_RETURN_IF_ERROR(RunSlice(slice, logits, row));
      row += static_cast<int64_t>(slice.logits_rows.size());
    }
    return row == logits.rows ? absl::OkStatus() : absl::InternalError("wrong number of rows");
  }

  // From now on each Forward waits before it does anything, until it is allowed one by one or all
  // are released.
  void Hold() {
    absl::MutexLock lock(&mutex_);
    permits_ = 0;
  }
  void Allow(int64_t steps) {
    absl::MutexLock lock(&mutex_);
    permits_ += steps;
  }
  void Release() {
    absl::MutexLock lock(&mutex_);
    permits_ = std::numeric_limits<int64_t>::max();
  }
  // Returns once a Forward waits.
  void AwaitHeld() const {
    absl::MutexLock lock(&mutex_);
    mutex_.Await(absl::Condition(&waiting_));
  }

  void SetHook(Hook hook) {
    absl::MutexLock lock(&mutex_);
    hook_ = std::move(hook);
  }
  // Positions that hold `token` get `value` as their last logit and in their hidden state.
  void Poison(TokenId token, float value) {
    absl::MutexLock lock(&mutex_);
    poison_ = {token, value};
  }

  // The stream of positions behind the prompt that hold `token` is not finite.
  void PoisonGenerated(TokenId token) {
    absl::MutexLock lock(&mutex_);
    poisoned_generated_ = token;
  }

  // All Forward calls so far, those that wait or failed included.
  std::vector<BatchRecord> batches() const {
    absl::MutexLock lock(&mutex_);
    return batches_;
  }

 private:
  const std::vector<std::string> notes_;  // none
  const ModelParts parts_;                // none

  void Record(absl::Span<const SequenceSlice> batch) const {
    BatchRecord record;
    for (const SequenceSlice& slice : batch) {
      record.push_back({slice.cache->size(),
                        {slice.tokens.begin(), slice.tokens.end()},
                        {slice.logits_rows.begin(), slice.logits_rows.end()}});
    }
    absl::MutexLock lock(&mutex_);
    batches_.push_back(std::move(record));
  }

  void WaitForPermission() const {
    absl::MutexLock lock(&mutex_);
    waiting_ = true;
    mutex_.Await(absl::Condition(
        +[](int64_t* permits) { return *permits > 0; }, &permits_));
    waiting_ = false;
    if (permits_ != std::numeric_limits<int64_t>::max()) --permits_;
  }

  absl::Status RunHook(absl::Span<const SequenceSlice> batch) const {
    Hook hook;
    {
      absl::MutexLock lock(&mutex_);
      hook = hook_;
    }
    return hook ? hook(batch) : absl::OkStatus();
  }

  absl::Status RunSlice(const SequenceSlice& slice, MatrixRef logits, int64_t row) const {
    const int64_t begin = slice.cache->size();
    const int64_t end = begin + static_cast<int64_t>(slice.tokens.size());
    if (end > slice.cache->capacity()) return absl::InternalError("the cache has too little room");
    if (!config_.causal && begin > 0) return absl::InternalError("a prompt was cut");
    // The token at each position lies where the first number of its key would.
    std::vector<char*> pages;
    slice.cache->LayerPages(0, &pages);
    const auto cell = [&](int64_t p) -> float& {
      return reinterpret_cast<float*>(pages[p / kPageTokens])[p % kPageTokens];
    };
    for (int64_t p = begin; p < end; ++p) cell(p) = static_cast<float>(slice.tokens[p - begin]);
    slice.cache->Commit(end - begin);
    Watch(slice, begin, end);

    std::vector<TokenId> seen;
    for (int64_t p = 0; p < end; ++p) seen.push_back(static_cast<TokenId>(cell(p)));
    for (int64_t wanted : slice.logits_rows) {
      const int64_t position = begin + wanted;
      const auto visible = absl::MakeConstSpan(seen).first(config_.causal ? position + 1 : end);
      WriteRow(visible, position, seen[position], logits.Row(row++));
    }
    return absl::OkStatus();
  }

  int64_t FirstPoisoned(const SequenceSlice& slice) const {
    absl::MutexLock lock(&mutex_);
    const auto found = std::find(slice.tokens.begin(), slice.tokens.end(), poisoned_generated_);
    const bool is_generated = slice.cache->size() >= slice.prompt_tokens;
    return found == slice.tokens.end() || !is_generated ? -1 : found - slice.tokens.begin();
  }

  void WriteRow(absl::Span<const TokenId> visible, int64_t position, TokenId token,
                absl::Span<float> row) const {
    const std::vector<float> values = FakeLogits(visible, position, config_.vocab_size);
    std::copy(values.begin(), values.end(), row.begin());
    absl::MutexLock lock(&mutex_);
    if (token == poison_.first) row.back() = poison_.second;
  }

  // Every wanted attention row is uniform, every hidden state a FakeState, poisoned as logits are.
  void Watch(const SequenceSlice& slice, int64_t begin, int64_t end) const {
    if (slice.plan == nullptr || slice.plan->observer == nullptr) return;
    ForwardObserver* const observer = slice.plan->observer;
    for (int64_t position : observer->WantHiddenStates(begin, end)) {
      const TokenId token = slice.tokens[position - begin];
      std::vector<float> state = FakeState(token, position, config_.width);
      absl::MutexLock lock(&mutex_);
      if (token == poison_.first) state.back() = poison_.second;
      observer->OnHiddenState(position, state);
    }
    for (int layer = 0; layer < config_.n_layers; ++layer) {
      const AttentionRows rows = slice.plan->observer->WantAttention(layer, begin, end);
      for (int head : rows.heads) {
        for (int64_t query : rows.queries) {
          const int64_t keys = config_.causal ? query + 1 : end;
          const std::vector<float> weights(keys, 1.0f / static_cast<float>(keys));
          slice.plan->observer->OnAttentionRow(layer, head, query, weights);
        }
      }
    }
  }

  const ModelConfig config_;
  mutable std::atomic<int> workspaces_{0};
  mutable absl::Mutex mutex_;
  mutable int64_t permits_ ABSL_GUARDED_BY(mutex_) = std::numeric_limits<int64_t>::max();
  mutable bool waiting_ ABSL_GUARDED_BY(mutex_) = false;
  mutable std::vector<BatchRecord> batches_ ABSL_GUARDED_BY(mutex_);
  Hook hook_ ABSL_GUARDED_BY(mutex_);
  std::pair<TokenId, float> poison_ ABSL_GUARDED_BY(mutex_) = {-1, 0};
  TokenId poisoned_generated_ ABSL_GUARDED_BY(mutex_) = -1;
};

// A fake served under a name, and the fake itself for the test to steer.
struct FakeServed {
  FakeLanguageModel* fake = nullptr;  // owned by `served`
  std::shared_ptr<const ServedModel> served;

  KvPool& pool() const { return *served->kv_pool; }
};

inline FakeServed ServeFake(int64_t pool_pages = 64, const ModelConfig& config = FakeConfig(),
                            const std::string& name = "fake") {
  auto fake = std::make_unique<FakeLanguageModel>(config);
  auto served = std::make_shared<ServedModel>();
  FakeServed result{fake.get(), nullptr};
  served->name = name;
  served->digest = "sha256:fake";
  served->model = std::move(fake);
  served->kv_pool = std::make_unique<KvPool>(KvLayout::For(config), pool_pages);
  result.served = std::move(served);
  return result;
}

}  // namespace heed

#endif  // HEED_TESTS_SERVER_FAKE_LANGUAGE_MODEL_H_
