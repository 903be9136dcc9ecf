#include "server/engine/sequence.h"

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "model/base/error.h"
#include "model/base/status_macros.h"
#include "model/inspect/nonfinite_finder.h"
#include "model/kernels/logits.h"

namespace heed {
namespace {

// What has made the first numbers that are none, to go on after "from ".
std::string Describe(const std::optional<NonfiniteFinder::Place>& place) {
  if (!place.has_value()) return "the final norm or the unembedding";
  if (place->site != Site::kResidual) {
    return absl::StrCat("layer ", place->layer, " (", SiteName(place->site), ")");
  }
  // The stream that enters a layer is what the layer before has made.
  return place->layer > 0 ? absl::StrCat("layer ", place->layer - 1, " (its sum)")
                          : "the embedding";
}

}  // namespace

bool Sequence::Admit(bool share_prefix) {
  const int64_t max_tokens = prompt_tokens_ + request_.max_new_tokens;
  const PrefixSharing sharing =
      share_prefix && request_.plan.editor == nullptr
          ? SharingOf(request_.model->model->config(), prompt_tokens_, max_tokens)
          : PrefixSharing();
  const absl::Span<const TokenId> prefix =
      absl::MakeConstSpan(tokens_).first(std::min(sharing.tokens, FirstNeededPosition()));
  auto cache = std::make_unique<KvCache>(request_.model->kv_pool.get());
  if (!cache->ReserveAfter(prefix, sharing.kind, max_tokens).ok()) return false;
  // No step allocates.
  tokens_.reserve(max_tokens);
  for (std::vector<int64_t>* rows : {&positions_, &rows_}) rows->reserve(1 + max_drafts_);
  shareable_tokens_ = sharing.tokens;
  position_ = cached_tokens_ = cache->size();
  cache_ = std::move(cache);
  return true;
}

// The first position that somebody wants to see something of. The last of the prompt always runs.
int64_t Sequence::FirstNeededPosition() const {
  int64_t position = prompt_tokens_ - 1;
  if (!request_.logits_positions.empty()) {
    position = std::min(position, request_.logits_positions.front());
  }
  if (const ForwardObserver* const observer = request_.plan.observer) {
    position = std::min(position, observer->FirstWatchedPosition());
  }
  return position;
}

void Sequence::SharePages() {
  cache_->Share(absl::MakeConstSpan(tokens_).first(std::min(position_, shareable_tokens_)));
}

absl::Status Sequence::Review(bool woken, absl::Time now, absl::Duration stall_timeout) {
  HEED_RETURN_IF_ERROR(request_.stop->Check());
  if (!has_next_token()) return absl::OkStatus();
  if (!parked() || woken) {
    if (request_.task->CanAdvance()) {
      parked_since_.reset();
    } else if (!parked()) {
      parked_since_ = now;
    }
  }
  if (!parked() || now - *parked_since_ < stall_timeout) return absl::OkStatus();
  return MakeError(absl::StatusCode::kAborted, "SLOW_READER",
                   absl::StrCat("the reply was not read for ", absl::FormatDuration(stall_timeout),
                                "; read messages as they come"));
}

absl::Duration Sequence::Patience(absl::Time now, absl::Duration stall_timeout) const {
  absl::Duration patience = request_.stop->deadline() - absl::Now();
  if (parked()) patience = std::min(patience, *parked_since_ + stall_timeout - now);
  return std::max(patience, absl::ZeroDuration());
}

void Sequence::Draft() {
  // A guess takes the place of a token that may yet be appended.
  const int64_t most = prompt_tokens_ + request_.max_new_tokens;
  lookup_.Look(tokens_, has_next_token() ? most - static_cast<int64_t>(tokens_.size()) : 0);
}

RunnableSequence Sequence::View() const {
  return {position_,
          prompt_tokens_,
          absl::MakeConstSpan(request_.logits_positions).subspan(next_logits_),
          last_step_,
          request_.whole_prompt,
          static_cast<int64_t>(lookup_.drafts().size())};
}

SequenceSlice Sequence::Begin(const PlannedSlice& planned, int64_t step, absl::Time now) {
  last_step_ = step;
  if (!started_.has_value()) started_ = now;
  if (in_prompt()) {
    const auto first = request_.logits_positions.begin() + next_logits_;
    positions_.assign(first, first + planned.logits_rows);
  } else {
    const absl::Span<const TokenId> drafts = lookup_.drafts().first(planned.logits_rows - 1);
    tokens_.insert(tokens_.end(), drafts.begin(), drafts.end());
    positions_.resize(planned.logits_rows);
    std::iota(positions_.begin(), positions_.end(), position_);
  }
  rows_.clear();
  for (int64_t position : positions_) rows_.push_back(position - planned.begin);

  SequenceSlice slice;
  slice.tokens = absl::MakeConstSpan(tokens_).subspan(planned.begin, planned.end - planned.begin);
  slice.cache = cache_.get();
  slice.logits_rows = rows_;
  const ForwardPlan& plan = request_.plan;
  slice.plan = plan.observer == nullptr && plan.editor == nullptr ? nullptr : &plan;
  slice.stop = request_.stop.get();
  slice.prompt_tokens = prompt_tokens_;
  return slice;
}

absl::Status Sequence::Deliver(const PlannedSlice& planned, const SequenceSlice& slice,
                               ConstMatrixRef logits) {
  return in_prompt() ? DeliverPrompt(planned, slice, logits)
                     : DeliverTokens(planned, slice, logits);
}

absl::Status Sequence::DeliverPrompt(const PlannedSlice& planned, const SequenceSlice& slice,
                                     ConstMatrixRef logits) {
  position_ = planned.end;
  HEED_RETURN_IF_ERROR(CheckFinite(planned, slice, positions_, logits));
  SharePages();
  next_logits_ += planned.logits_rows;
  request_.task->OnPromptChunk(planned.begin, planned.end);
  if (logits.rows == 0) return absl::OkStatus();
  HEED_ASSIGN_OR_RETURN(const std::optional<TokenId> token,
                        request_.task->OnLogits(positions_, logits));
  return token.has_value() ? Append(*token) : absl::OkStatus();
}

// One row after the other, as if each token had come in a step of its own, up to the first draft
// that is not what the task appends.
absl::Status Sequence::DeliverTokens(const PlannedSlice& planned, const SequenceSlice& slice,
                                     ConstMatrixRef logits) {
  draft_counts_.run += logits.rows - 1;
  PlannedSlice so_far = planned;
  std::optional<TokenId> token;
  for (int64_t row = 0; row < logits.rows; ++row) {
    so_far.end = position_ = planned.begin + row + 1;
    const auto position = absl::MakeConstSpan(positions_).subspan(row, 1);
    HEED_RETURN_IF_ERROR(CheckFinite(so_far, slice, position, logits.Rows(row, 1)));
    HEED_ASSIGN_OR_RETURN(token, request_.task->OnLogits(position, logits.Rows(row, 1)));
    const bool goes_on = token.has_value() && IsAsGuessed(*token) && !request_.stop->ShouldStop() &&
                         request_.task->CanAdvance();
    if (!goes_on) break;
    ++draft_counts_.accepted;
  }
  lookup_.Learn(logits.rows - 1, position_ - 1 - planned.begin);
  DropDrafts();
  SharePages();
  return token.has_value() ? Append(*token) : absl::OkStatus();
}

// There is a draft at the position that is next, and it is `token`.
bool Sequence::IsAsGuessed(TokenId token) const {
  return !complete() && tokens_[position_] == token;
}

void Sequence::DropDrafts() {
  if (complete()) return;
  tokens_.resize(position_);
  cache_->Truncate(position_);
  if (request_.plan.observer != nullptr) request_.plan.observer->OnTruncate(position_);
}

// Of the slice up to planned.end, and of the logits at `positions`.
absl::Status Sequence::CheckFinite(const PlannedSlice& planned, const SequenceSlice& slice,
                                   absl::Span<const int64_t> positions, ConstMatrixRef logits) {
  if (slice.nonfinite_row >= 0 && planned.begin + slice.nonfinite_row < planned.end) {
    return Nonfinite(planned, "states", planned.begin + slice.nonfinite_row);
  }
  for (int64_t r = 0; r < logits.rows; ++r) {
    if (!AreFinite(logits.Row(r))) return Nonfinite(planned, "logits", positions[r]);
  }
  return absl::OkStatus();
}

absl::Status Sequence::Nonfinite(const PlannedSlice& planned, absl::string_view what,
                                 int64_t position) {
  nonfinite_ = {planned, what, position};
  return absl::InternalError("not finite");
}

absl::Status Sequence::FindNonfinite(Workspace* workspace) {
  auto [slice, what, position] = *nonfinite_;
  NonfiniteFinder finder;
  HEED_RETURN_IF_ERROR(RunAgain(slice, &finder, workspace));
  if (finder.place().has_value()) position = finder.place()->position;
  const bool is_edited = request_.plan.editor != nullptr;
  const std::string origin = Describe(finder.place());
  return MakeError(is_edited ? absl::StatusCode::kInvalidArgument : absl::StatusCode::kInternal,
                   absl::StrCat("NONFINITE_", absl::AsciiStrToUpper(what)),
                   absl::StrCat("the model's ", what, " hold NaN or infinite values at position ",
                                position, ", from ", origin, " on; ",
                                is_edited ? "smaller edits may keep them in range"
                                          : "its weights overflow on this input"),
                   {{"position", absl::StrCat(position)}, {"origin", origin}});
}

// The slice that has run, alone, for another observer.
absl::Status Sequence::RunAgain(const PlannedSlice& planned, ForwardObserver* observer,
                                Workspace* workspace) {
  cache_->Truncate(planned.begin);
  const ForwardPlan plan{.observer = observer, .editor = request_.plan.editor};
  SequenceSlice slice;
  slice.tokens = absl::MakeConstSpan(tokens_).subspan(planned.begin, planned.end - planned.begin);
  slice.cache = cache_.get();
  slice.plan = &plan;
  slice.prompt_tokens = prompt_tokens_;
  const LanguageModel& model = *request_.model->model;
  return model.Forward(absl::MakeSpan(&slice, 1), MatrixRef(nullptr, 0, model.config().vocab_size),
                       workspace);
}

absl::Status Sequence::Append(TokenId token) {
  const bool at_end =
      !in_prompt() && (position_ > prompt_tokens_ || positions_.back() == position_ - 1);
  const bool known = token >= 0 && token < request_.model->model->config().vocab_size;
  const int64_t appended_tokens = static_cast<int64_t>(tokens_.size()) - prompt_tokens_;
  if (!at_end || !known || appended_tokens >= request_.max_new_tokens) {
    return MakeError(
        absl::StatusCode::kInternal, "BAD_TASK_TOKEN",
        absl::StrCat("token ", token, " was appended at position ", position_, " after ",
                     appended_tokens, " of at most ", request_.max_new_tokens,
                     "; a task may append known tokens after the prompt only"));
  }
  tokens_.push_back(token);
  return absl::OkStatus();
}

absl::Status Sequence::StopReason() const {
  const absl::Status status = request_.stop->Check();
  return status.ok() ? absl::CancelledError("the call was stopped") : status;
}

void Sequence::Finish(const absl::Status& status, absl::Time now) {
  cache_.reset();
  const absl::Time started = started_.value_or(now);
  request_.task->OnDone(status, {.queue = std::max(started - submitted_, absl::ZeroDuration()),
                                 .compute = std::max(now - started, absl::ZeroDuration()),
                                 .cached_tokens = cached_tokens_,
                                 .draft_tokens = draft_counts_.run,
                                 .accepted_tokens = draft_counts_.accepted});
}

}  // namespace heed
