// GetAttention of a run that was kept: any stage, any encoding.
#ifndef HEED_SERVER_INSPECT_ATTENTION_STREAM_H_
#define HEED_SERVER_INSPECT_ATTENTION_STREAM_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "heed/v1/inspection.pb.h"
#include "model/inspect/attention_read.h"
#include "model/inspect/attention_reduce.h"
#include "server/inspect/run_source.h"

namespace heed {

// True for what the forward pass itself can hand out as it goes, AttentionCall: weights of a
// prompt, dense or top-k, over all keys.
bool IsPlainAttention(const v1::GetAttentionRequest& request);

// A Method of ReadStreamCall.
class AttentionStream {
 public:
  using Request = v1::GetAttentionRequest;
  using Response = v1::GetAttentionResponse;

  static SiteSet Check(const Request& request, const ServedModel& model, Violations* violations);
  static absl::Status CheckLength(const Request& request, const ModelConfig& config,
                                  int64_t n_tokens);
  static absl::StatusOr<std::unique_ptr<AttentionStream>> Create(const Request& request,
                                                                 ReadableRun* run,
                                                                 const StopSignal* stop);
  absl::StatusOr<bool> Next(Response* out);

  // Of the tiles of a request that passed the checks; an upper bound with a threshold.
  static absl::StatusOr<int64_t> AnswerBytes(const Request& request, const ModelConfig& config,
                                             int64_t n_tokens);

 private:
  // The selection with nothing left open.
  struct Selection {
    AttentionStage stage = AttentionStage::kWeights;
    std::optional<LayerAttention::Fusion> fusion;
    std::vector<int> layers;
    std::vector<int> heads;
    std::vector<int64_t> queries;
    int64_t key_begin = 0;
    int64_t key_end = 0;
    std::vector<KeySpan> spans;

    int64_t key_count() const { return key_end - key_begin; }
  };
  // Rows of the queries [begin, end) of the selection.
  using RowFn = absl::FunctionRef<void(int64_t index, absl::Span<const float> row)>;

  AttentionStream(const Request& request, ReadableRun* run, const StopSignal* stop,
                  Selection selection);

  static absl::StatusOr<Selection> Resolve(const Request& request, const ModelConfig& config,
                                           int64_t n_tokens);
  static int64_t RowBytes(const v1::AttentionSelection& wire, const Selection& selection);
  static int64_t TotalBytes(const v1::AttentionSelection& wire, const Selection& selection,
                            const ModelConfig& config);

  void FillHeader(v1::AttentionHeader* out) const;
  absl::Status FillTile(int64_t begin, int64_t end, v1::AttentionTile* out);
  // In the encoding that was asked for.
  void FillRows(int64_t begin, int64_t end, v1::AttentionTile* out);
  void FillTopK(int64_t begin, int64_t end, v1::AttentionTile* out);
  void FillLowerTriangle(int64_t begin, int64_t end, v1::AttentionTile* out);
  void FillAboveThreshold(int64_t begin, int64_t end, v1::AttentionTile* out);
  void FillSpanSums(int64_t begin, int64_t end, v1::AttentionTile* out);
  void FillDense(int64_t begin, int64_t end, v1::AttentionTile* out);
  absl::Status FillPooled(v1::AttentionTile* out);
  absl::Status FillSpanMeans(v1::AttentionTile* out);
  void ReadRows(int64_t begin, int64_t end, RowFn fn);
  // Those of all queries, a few at a time; the stop signal is looked at between.
  absl::Status ReadAllRows(RowFn fn);
  // The part of a row that its query can see, of the chosen keys.
  absl::Span<const float> Visible(int64_t index, absl::Span<const float> row) const;
  int64_t RowsAtOnce() const;

  const v1::AttentionSelection wire_;
  ReadableRun* const run_;
  const StopSignal* const stop_;
  const Selection selection_;
  std::optional<LayerAttention> layer_attention_;
  bool header_sent_ = false;
  bool end_sent_ = false;
  // The next tile's place.
  size_t layer_ = 0;
  size_t head_ = 0;
  int64_t query_ = 0;
  int64_t tile_count_ = 0;
};

}  // namespace heed

#endif  // HEED_SERVER_INSPECT_ATTENTION_STREAM_H_
