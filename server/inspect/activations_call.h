// GetActivations and the choice between GetAttention's two ways.
#ifndef HEED_SERVER_INSPECT_ACTIVATIONS_CALL_H_
#define HEED_SERVER_INSPECT_ACTIVATIONS_CALL_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "heed/v1/inspection.pb.h"
#include "model/inspect/activations.h"
#include "server/inspect/read_stream_call.h"

namespace heed {

// A Method of ReadStreamCall.
class ActivationsStream {
 public:
  using Request = v1::GetActivationsRequest;
  using Response = v1::GetActivationsResponse;

  static absl::StatusOr<SiteSet> Check(const Request& request, const ServedModel& model,
                                       Violations* violations);
  static absl::Status CheckLength(const Request& request, const ModelConfig& config,
                                  int64_t n_tokens);
  static absl::StatusOr<std::unique_ptr<ActivationsStream>> Create(const Request& request,
                                                                   ReadableRun* run,
                                                                   const StopSignal* stop);
  absl::StatusOr<bool> Next(Response* out);

 private:
  ActivationsStream(const Request& request, ReadableRun* run, const StopSignal* stop)
      : request_(request), run_(run), stop_(stop) {}

  void FillHeader(v1::ActivationsHeader* out) const;
  // The chosen rows and columns of a layer.
  absl::StatusOr<AlignedBuffer> ChosenRows(int layer) const;
  absl::Status Compute(int layer);
  int64_t ChosenWidth() const { return static_cast<int64_t>(heads_.size()) * head_width_; }

  const Request request_;
  ReadableRun* const run_;
  const StopSignal* const stop_;
  Site site_ = Site::kResidual;
  std::vector<int> layers_;
  std::vector<int> heads_;  // {0}, as wide as the site, for a site without heads
  int64_t head_width_ = 0;
  std::vector<int64_t> positions_;
  std::optional<TraceStore::Found> other_;

  bool header_sent_ = false;
  bool end_sent_ = false;
  size_t layer_ = 0;
  int64_t row_ = 0;
  int64_t block_count_ = 0;
  // Of the current layer.
  std::vector<float> values_;  // [positions, columns]
  int64_t columns_ = 0;
  std::vector<double> explained_;
};

grpc::ServerWriteReactor<grpc::ByteBuffer>* BeginActivations(const ServiceContext& context,
                                                             grpc::CallbackServerContext* call,
                                                             const grpc::ByteBuffer& request);

grpc::ServerWriteReactor<grpc::ByteBuffer>* BeginAttention(const ServiceContext& context,
                                                           grpc::CallbackServerContext* call,
                                                           const grpc::ByteBuffer& request);

}  // namespace heed

#endif  // HEED_SERVER_INSPECT_ACTIVATIONS_CALL_H_
