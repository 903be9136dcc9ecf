// What a forward pass promises beyond its values: the same bits alone, in a batch, in chunks,
// watched or not; and an end within a layer when nobody waits any more.
#include <algorithm>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include "gtest/gtest.h"
#include "tests/base/print_formats.h"
#include "tests/transformer/model_testing.h"

namespace heed {
namespace {

// `n` tokens, or as many as the context window has.
std::vector<TokenId> RandomTokens(const ModelConfig& config, int64_t n, uint32_t seed) {
  std::mt19937 generator(seed);
  std::vector<TokenId> ids;
  for (int64_t i = 0; i < std::min(n, config.context_window); ++i)
    ids.push_back(static_cast<TokenId>(generator() % config.vocab_size));
  return ids;
}

// A golden model, and how its weights, keys and values are held.
using HeldModel = std::tuple<std::string, WeightFormat, KvType>;

class ForwardTest : public testing::TestWithParam<HeldModel> {
 protected:
  void SetUp() override {
    const auto& [name, weights, kv_type] = GetParam();
    model_ = LoadGolden(name, DefaultBackend(), weights, kv_type);
    ASSERT_NE(model_, nullptr);
  }
  bool causal() const { return model_->config().causal; }

  std::unique_ptr<const LanguageModel> model_;
};

TEST_P(ForwardTest, ChunksGiveTheSameBits) {
  if (!causal()) return;  // a bidirectional model takes a whole sequence
  const std::vector<TokenId> ids = RandomTokens(model_->config(), 45, 1);
  const std::vector<float> whole = Runner(model_.get()).Append(ids);
  for (size_t chunk : {1, 2, 7, 16, 17, 32}) {
    Runner runner(model_.get());
    runner.set_prompt_tokens(ids.size());
    std::vector<float> pieces;
    for (size_t begin = 0; begin < ids.size(); begin += chunk) {
      const std::vector<float> logits = runner.Append(absl::MakeSpan(ids).subspan(begin, chunk));
      pieces.insert(pieces.end(), logits.begin(), logits.end());
    }
    EXPECT_EQ(pieces, whole) << "chunks of " << chunk;
  }
}

TEST_P(ForwardTest, WatchingChangesNoBit) {
  const std::vector<TokenId> ids = RandomTokens(model_->config(), 40, 2);
  AttentionRecorder recorder(model_->config());
  const std::vector<float> watched = Runner(model_.get(), &recorder).Append(ids);
  EXPECT_EQ(watched, Runner(model_.get()).Append(ids));
  EXPECT_FALSE(recorder.rows.empty());
}

// A sequence on the first pages of another one, beside a third.
TEST_P(ForwardTest, ASharedPrefixGivesTheSameBits) {
  const ModelConfig& config = model_->config();
  const std::vector<TokenId> ids = RandomTokens(config, 45, 5);
  const int64_t n = static_cast<int64_t>(ids.size()), shared = (n - 1) / kPageTokens * kPageTokens;
  const PrefixSharing sharing = SharingOf(config, n, n);
  if (!causal()) {
    EXPECT_EQ(sharing.tokens, 0);
    return;
  }
  AttentionRecorder all(config), some(config);
  const std::vector<float> whole = Runner(model_.get(), &all).Append(ids);

  KvPool pool(KvLayout::For(config), 12);
  KvCache first(&pool), second(&pool), third(&pool);
  const std::unique_ptr<Workspace> workspace = model_->NewWorkspace();
  std::vector<int64_t> rows;
  for (int64_t r = 0; r < n - shared && config.has_head; ++r) rows.push_back(r);
  std::vector<float> logits(rows.size() * config.vocab_size);
  const auto run = [&](std::vector<SequenceSlice> slices) {
    const int64_t count = static_cast<int64_t>(slices.back().logits_rows.size());
    EXPECT_TRUE(model_
                    ->Forward(absl::MakeSpan(slices), {logits.data(), count, config.vocab_size},
                              workspace.get())
                    .ok());
  };
  ASSERT_TRUE(first.ReserveAfter({}, sharing.kind, n).ok());
  run({{.tokens = ids, .cache = &first, .prompt_tokens = n}});
  first.Share(ids);
  ASSERT_TRUE(second.ReserveAfter(absl::MakeSpan(ids).first(n - 1), sharing.kind, n).ok());
  ASSERT_EQ(second.size(), shared);
  ASSERT_TRUE(third.Reserve(n).ok());
  const ForwardPlan plan{.observer = &some};
  run({{.tokens = ids, .cache = &third, .prompt_tokens = n},
       {.tokens = absl::MakeSpan(ids).subspan(shared),
        .cache = &second,
        .logits_rows = rows,
        .plan = &plan,
        .prompt_tokens = n}});
  EXPECT_EQ(std::memcmp(logits.data(), whole.data() + whole.size() - logits.size(),
                        logits.size() * sizeof(float)),
            0);
  EXPECT_FALSE(some.rows.empty());
  for (const auto& [place, weights] : some.rows) EXPECT_EQ(weights, all.rows[place]);
}

TEST_P(ForwardTest, EarlierRowsDependOnLaterTokensOnlyWithoutTheCausalMask) {
  if (!model_->config().has_head) return;  // no rows to compare
  std::vector<TokenId> ids = RandomTokens(model_->config(), 20, 3);
  const std::vector<float> before = Runner(model_.get()).Append(ids);
  ids.back() = (ids.back() + 1) % static_cast<TokenId>(model_->config().vocab_size);
  const std::vector<float> after = Runner(model_.get()).Append(ids);
  const size_t first_row = model_->config().vocab_size;
  const bool same = std::memcmp(before.data(), after.data(), first_row * sizeof(float)) == 0;
  EXPECT_EQ(same, causal());
}

// Nine sequences of different lengths, some asking for every row of logits, some for the last, one
// for none.
struct Batch {
  explicit Batch(const LanguageModel* m)
      : model(m), pool(KvLayout::For(m->config()), 64), workspace(m->NewWorkspace()) {
    for (uint32_t i = 0; i < 9; ++i) {
      tokens.push_back(RandomTokens(m->config(), 1 + 5 * i, 10 + i));
      const int64_t n = static_cast<int64_t>(tokens.back().size());
      std::vector<int64_t> wanted;
      for (int64_t r = i % 3 == 0 ? 0 : n - 1; r < n && i != 4 && m->config().has_head; ++r)
        wanted.push_back(r);
      rows.push_back(wanted);
      n_rows += static_cast<int64_t>(wanted.size());
      caches.push_back(std::make_unique<KvCache>(&pool));
      EXPECT_TRUE(caches.back()->Reserve(n).ok());
      slices.push_back({tokens.back(), caches.back().get(), {}});
    }
    for (size_t i = 0; i < slices.size(); ++i) {
      slices[i].tokens = tokens[i];
      slices[i].logits_rows = rows[i];
      slices[i].prompt_tokens = static_cast<int64_t>(tokens[i].size());
    }
  }

  std::vector<float> Run() {
    std::vector<float> logits(n_rows * model->config().vocab_size, -1.0f);
    EXPECT_TRUE(model
                    ->Forward(absl::MakeSpan(slices),
                              {logits.data(), n_rows, model->config().vocab_size}, workspace.get())
                    .ok());
    return logits;
  }

  const LanguageModel* model;
  KvPool pool;
  std::unique_ptr<Workspace> workspace;
  std::vector<std::vector<TokenId>> tokens;
  std::vector<std::vector<int64_t>> rows;
  std::vector<std::unique_ptr<KvCache>> caches;
  std::vector<SequenceSlice> slices;
  int64_t n_rows = 0;
};

TEST_P(ForwardTest, ASequenceGivesTheSameBitsAloneAndAmongOthers) {
  Batch batch(model_.get());
  const std::vector<float> together = batch.Run();
  const int64_t vocab = model_->config().vocab_size;
  int64_t row = 0;
  for (size_t i = 0; i < batch.slices.size(); ++i) {
    const std::vector<float> alone = Runner(model_.get()).Append(batch.tokens[i]);
    for (int64_t wanted : batch.rows[i]) {
      EXPECT_EQ(std::memcmp(together.data() + row++ * vocab, alone.data() + wanted * vocab,
                            vocab * sizeof(float)),
                0)
          << "sequence " << i << ", row " << wanted;
    }
    EXPECT_EQ(batch.caches[i]->size(), static_cast<int64_t>(batch.tokens[i].size()));
  }
}

TEST_P(ForwardTest, StoppedSequencesLeaveAndTheOthersAreUntouched) {
  const std::vector<float> all = Batch(model_.get()).Run();
  Batch batch(model_.get());
  StopSignal cancelled, expired(absl::InfinitePast()), wanted;
  cancelled.Cancel();
  batch.slices[0].stop = &cancelled;
  batch.slices[5].stop = &expired;
  batch.slices[6].stop = &wanted;
  const std::vector<float> some = batch.Run();
  const int64_t vocab = model_->config().vocab_size;
  int64_t row = 0;
  for (size_t i = 0; i < batch.slices.size(); ++i) {
    const bool stopped = i == 0 || i == 5;
    EXPECT_EQ(batch.slices[i].stopped, stopped);
    EXPECT_EQ(batch.caches[i]->size(), stopped ? 0 : static_cast<int64_t>(batch.tokens[i].size()));
    const int64_t rows = static_cast<int64_t>(batch.rows[i].size());
    if (!stopped && rows > 0) {
      EXPECT_EQ(std::memcmp(some.data() + row * vocab, all.data() + row * vocab,
                            rows * vocab * sizeof(float)),
                0)
          << "sequence " << i;
    }
    row += rows;
  }
}

// Cancels a sequence from inside its first layer.
class CancellingObserver : public ForwardObserver {
 public:
  explicit CancellingObserver(StopSignal* stop) : stop_(stop) {}
  AttentionRows WantAttention(int layer, int64_t begin, int64_t end) override {
    ++layers_seen;
    stop_->Cancel();
    return {};
  }
  void OnAttentionRow(int, int, int64_t, absl::Span<const float>) override {}
  int layers_seen = 0;

 private:
  StopSignal* stop_;
};

TEST_P(ForwardTest, CancellationIsSeenWithinOneLayer) {
  Batch batch(model_.get());
  StopSignal stop;
  CancellingObserver observer(&stop);
  const ForwardPlan plan{&observer};
  batch.slices[8].plan = &plan;
  batch.slices[8].stop = &stop;
  batch.Run();
  EXPECT_TRUE(batch.slices[8].stopped);
  EXPECT_EQ(observer.layers_seen, 1);
}

TEST_P(ForwardTest, EveryoneStoppedIsFine) {
  Batch batch(model_.get());
  StopSignal stop;
  stop.Cancel();
  for (SequenceSlice& slice : batch.slices) slice.stop = &stop;
  batch.Run();
  for (const SequenceSlice& slice : batch.slices) {
    EXPECT_TRUE(slice.stopped);
    EXPECT_EQ(slice.cache->size(), 0);
  }
}

TEST_P(ForwardTest, RefusesACacheWithoutRoom) {
  Batch batch(model_.get());
  std::vector<TokenId> tokens(17, 0);
  batch.slices[0].tokens = tokens;
  std::vector<float> logits(batch.n_rows * model_->config().vocab_size);
  const MatrixRef out(logits.data(), batch.n_rows, model_->config().vocab_size);
  EXPECT_EQ(model_->Forward(absl::MakeSpan(batch.slices), out, batch.workspace.get()).code(),
            absl::StatusCode::kInternal);
}

std::string TestName(const testing::TestParamInfo<HeldModel>& info) {
  const auto& [model, weights, kv_type] = info.param;
  std::string name = model;
  if (weights == WeightFormat::kF16) name += "_f16";
  if (weights == WeightFormat::kInt8) name += "_int8";
  if (weights == WeightFormat::kInt4) name += "_int4";
  if (kv_type != KvType::kF32) name += kv_type == KvType::kF16 ? "_kv_f16" : "_kv_int8";
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Models, ForwardTest,
                         testing::Combine(testing::ValuesIn(GoldenModels()),
                                          testing::Values(WeightFormat::kF32),
                                          testing::Values(KvType::kF32)),
                         TestName);
INSTANTIATE_TEST_SUITE_P(RoundedKeysAndValues, ForwardTest,
                         testing::Combine(testing::Values("gpt2-f32", "llama-gqa-f32", "bert-f32",
                                                          "gemma2-f32", "bloom-f16",
                                                          "qwen3-windows-f16"),
                                          testing::Values(WeightFormat::kF32),
                                          testing::Values(KvType::kF16, KvType::kInt8)),
                         TestName);
INSTANTIATE_TEST_SUITE_P(Rounded, ForwardTest,
                         testing::Combine(testing::Values("gpt2-f32", "llama-gqa-f32", "bert-f32",
                                                          "gemma2-f32", "albert-f16"),
                                          testing::Values(WeightFormat::kF16, WeightFormat::kInt8,
                                                          WeightFormat::kInt4),
                                          testing::Values(KvType::kF32)),
                         TestName);

}  // namespace
}  // namespace heed
